"""Files of heads and gates: what was written comes back, and nothing half-written stays."""

import numpy as np
import pytest
import xarray as xr

from attention_heads.errors import HeadsError
from attention_heads.gates import Pruning
from attention_heads.storage import (
    make_heads_dataset,
    open_gates_file,
    open_heads,
    write_gates,
    write_heads,
)

SHAPES = {"encoder": (3, 4), "decoder": (2, 4), "cross": (2, 4)}


def draw(*shape):
    return np.random.default_rng(sum(shape)).random(shape)


def measures(*back):
    return {name: draw(*shape, *back) for name, shape in SHAPES.items()}


def make(sentences=5, **changes):
    settings = {
        "snapshots": [0, 100],
        "shapes": SHAPES,
        "variables": {
            "confidence": [measures(), measures()],
            "positional": [measures(7), measures(7)],
            "syntactic": [{"encoder": draw(3, 4, 4, 2)}] * 2,
        },
        "by_sentence": {
            "confidence_by_sentence": {n: draw(sentences, *s) for n, s in SHAPES.items()}
        },
        "targets": np.arange(sentences),
        "coordinates": {"offset": list(range(-3, 4))},
        "attributes": {"model": "mt-en-de"},
        **changes,
    }
    return make_heads_dataset(**settings)


def test_what_is_written_comes_back(tmp_path):
    path = tmp_path / "heads" / "mt-en-de.nc"
    write_heads(path, make())
    with open_heads(path) as found:
        assert found.confidence.dims == ("snapshot", "attention", "layer", "head")
        cross = found.confidence.sel(attention="cross", snapshot=100)
        np.testing.assert_allclose(cross[:2], measures()["cross"], rtol=1e-6)
        assert np.isnan(cross[2]).all()  # the encoder has a layer more
        assert found.positional.sel(offset=-1).shape == (2, 3, 3, 4)
        assert np.isnan(found.syntactic.sel(attention="decoder")).all()
        sentences = found.confidence_by_sentence.sel(attention="encoder")
        np.testing.assert_allclose(sentences, draw(5, 3, 4), rtol=1e-3)
        assert found.attrs["model"] == "mt-en-de" and found.targets.dtype == np.int32
        assert all("long_name" in each.attrs for name, each in found.data_vars.items()
                   if name != "targets")  # fmt: skip
    assert [each.name for each in path.parent.iterdir()] == ["mt-en-de.nc"]


def test_values_of_sentences_take_about_two_bytes(tmp_path):
    path, sentences = tmp_path / "x.nc", 2500
    shapes = dict.fromkeys(SHAPES, (6, 8))
    values = {name: draw(sentences, 6, 8) for name in shapes}
    dataset = make(
        sentences, shapes=shapes, variables={}, by_sentence={"relevance_by_sentence": values}
    )
    assert dataset.relevance_by_sentence.dtype == np.float16
    write_heads(path, dataset)
    assert path.stat().st_size < 2.1 * sentences * 144 + 50_000


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"variables": {"charm": []}}, "unknown variable 'charm'; known are confidence"),
        ({"variables": {"confidence": [measures()]}}, "confidence: 1 snapshots, expected 2"),
        ({"variables": {"confidence": [{"encoder": draw(3, 5)}] * 2}},
         r"confidence of encoder: shape \(3, 5\), expected \(3, 4\)"),
        ({"by_sentence": {"importance_by_sentence": {"encoder": draw(5, 3, 4) * 1e6}}},
         "exceed float16"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(HeadsError, match=message):
        make(**changes)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "x.nc"
    write_heads(path, make())
    before = path.read_bytes()
    broken = make().assign_attrs(model={"not": "an attribute"})
    with pytest.raises(TypeError):
        write_heads(path, broken)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "x.nc"
    xr.Dataset(attrs={"format": "cube"}).to_netcdf(path)
    with pytest.raises(HeadsError, match="its format is 'cube', expected 'attention-heads-1'"):
        open_heads(path)
    with pytest.raises(HeadsError, match="absent.nc cannot be opened"):
        open_gates_file(tmp_path / "absent.nc")


@pytest.mark.parametrize("price", [0.0, 0.01])
def test_gates_are_kept_with_their_price_and_what_they_decided(tmp_path, price):
    log_alpha = {"encoder": np.full((3, 4), 4.0), "cross": np.full((2, 4), -0.5)}
    write_gates(
        tmp_path / "g.nc", Pruning(price, log_alpha, np.ones(6), np.ones(6)), {"pruned_loss": 2.5}
    )
    with open_gates_file(tmp_path / "g.nc") as found:
        assert found.attrs["price"] == price and found.attrs["control_arm"] == (price == 0)
        assert found.attrs["pruned_loss"] == 2.5
        assert "8 of 20 gates" in found.attrs["not_converged"]
        assert (found.kept.sel(attention="encoder") == 1).all()
        assert found.kept.sel(attention="cross").sum() == 0
        assert int(found.undecided.sum()) == 8 and found.loss.shape == (6,)
