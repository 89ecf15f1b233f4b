"""What the study measures on files of states: comparisons, snapshots and the loss change."""

from fractions import Fraction

import numpy as np
import pytest
import xarray as xr
from spaces_cases import normal, rotation, words_of

from representations.description import Extent
from representations.errors import RepresentationError
from representations.states import StatesWriter
from studies.representations.measuring.comparing import compare_spaces, equal_depths
from studies.representations.measuring.snapshots import compare_snapshots, loss_change
from synthetic_cubes import write_cube

WORDS, WIDTH = 600, 6
SMALL = Extent(
    pairs=200, types=5, samples=300, clusters=20, neighbour_words=200, neighbours=3, repeats=0
)


@pytest.fixture(scope="module")
def words():
    draw = np.random.default_rng(0)
    return words_of([[f"w{word}" for word in draw.integers(8, size=6)] for _ in range(WORDS // 6)])


def write(path, **layers):
    with StatesWriter(path, list(layers), WORDS, WIDTH) as file:
        for name, states in layers.items():
            file.write(name, 0, states)
    return path


def test_stacks_of_other_depth_meet_at_the_same_share():
    twelve, six = ([str(layer) for layer in range(depth + 1)] for depth in (12, 6))
    meetings = equal_depths(twelve, six)
    assert [(one, two) for _, one, two in meetings][:3] == [("0", "0"), ("2", "1"), ("4", "2")]
    assert meetings[3][0] == Fraction(1, 2) and len(meetings) == 7
    assert len(equal_depths(twelve, twelve)) == 13


def test_a_rotated_space_is_the_same_and_an_independent_one_is_at_the_floor(tmp_path, words):
    states = normal(WORDS, WIDTH)
    first = write(tmp_path / "a.nc", **{"0": states, "1": states})
    second = write(
        tmp_path / "b.nc",
        **{"0": 2 * states @ rotation(WIDTH) + 1, "1": normal(WORDS, WIDTH, seed=5)},
    )
    found = compare_spaces(first, second, words, 100, 150, 4, 0, all_layers=True)
    same, other = found.isel(depth=0), found.isel(depth=1)
    for name in ("rsa", "cka", "pwcca", "pwcca_reversed", "svcca"):
        assert float(same[name]) == pytest.approx(1, abs=0.01)
        assert abs(float(other[name] - other[f"{name}_floor"])) < 0.1
    # The second space is the first one, shifted: only centring tells.
    assert float(same["rsa_uncentred"]) < 0.95
    assert (same["retrieval"].sel(stage="after") > 0.99).all()
    assert (same["retrieval"].sel(stage="before") < 0.2).all()
    assert (other["retrieval"] < 0.05).all()
    assert found["all_rsa"].shape == (2, 2)
    assert float(found["all_rsa"].sel(first_layer="1", second_layer="0")) > 0.99
    assert float(other["pwcca_low"]) <= float(other["pwcca"]) <= float(other["pwcca_high"])


def test_layers_without_a_number_are_not_compared(tmp_path, words):
    layers = {name: normal(WORDS, WIDTH) for name in ("0 without positions", "0", "1", "norm")}
    path = write(tmp_path / "a.nc", **layers)
    found = compare_spaces(path, path, words, 100, 150, 0, 0, all_layers=False)
    assert found["first"].values.tolist() == ["0", "1"] and "all_rsa" not in found


def test_snapshots_that_do_not_change_and_that_change_wholly(tmp_path, words):
    asked = []

    def states_of(update, path):
        asked.append(update)
        moved = normal(WORDS, WIDTH, seed=update)
        write(
            path, **{"0": normal(WORDS, WIDTH), "1": moved if update > 2 else normal(WORDS, WIDTH)}
        )

    found = compare_snapshots([0, 2, 5, 9], states_of, words, SMALL, tmp_path)
    assert sorted(asked) == [0, 2, 5, 9], "every snapshot is run once"
    assert list(tmp_path.iterdir()) == [], "no file of states is left"
    still, moving = (found["change"].sel(layer=name) for name in "01")
    assert (still < 1e-3).all() and float(moving.sel(interval=2)) < 1e-3
    floor = found["change_floor"].sel(layer="1")
    assert (abs(moving - floor).sel(interval=[5, 9]) < 0.1).all()
    assert (found["to_end"].isel(snapshot=-1) < 1e-3).all()
    assert float(found["to_end"].sel(layer="1", snapshot=0)) > 0.5
    for name in ("average_similarity", "input_information_share", "neighbours_same_type"):
        assert found[name].shape == (4, 2)


def test_snapshots_out_of_order_are_refused(tmp_path, words):
    with pytest.raises(RepresentationError, match="do not ascend"):
        compare_snapshots([3, 0], lambda update, path: None, words, SMALL, tmp_path)


def test_too_few_words_for_the_dimensions_are_told_with_the_snapshot(tmp_path):
    few = words_of([["a", "b"], ["c", "d"], ["a", "d"], ["b", "c"]])

    def states_of(update, path):
        with StatesWriter(path, ["0"], 8, WIDTH) as file:
            file.write("0", 0, normal(8, WIDTH, seed=update))

    with pytest.raises(RepresentationError, match=r"snapshot 0: .*8 samples are too few"):
        compare_snapshots([0, 1], states_of, few, SMALL, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_loss_change_between_snapshots_is_the_sum_of_the_cube(tmp_path):
    path = tmp_path / "mt-en-de.nc"
    write_cube(path, "mt-en-de", steps=40, layers=4, heads=2)
    updates = [0, 1, 7, 40]
    found = loss_change(path, updates, "encoder")
    with xr.open_dataset(path) as cube:
        inner = cube["lca"].isel(layer=[1, 2]).load()
    whole = -inner.sum(("step", "head", "component"))
    np.testing.assert_allclose(found.sel(part="layer").sum("interval"), whole, rtol=1e-5)
    part = -inner.sel(component=["W1", "W2"]).sum(("head", "component"))
    second = part.isel(step=slice(1, 7)).sum("step")
    np.testing.assert_allclose(
        found.sel(part="feed-forward", interval=7), second, rtol=1e-5, atol=1e-9
    )
