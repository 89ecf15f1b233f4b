"""The figures of the study: nothing is cut off, floors and other seeds are drawn."""

from importlib import import_module

import numpy as np
import pytest
import xarray as xr

from running.studies import load_studies
from studies.representations.figures import (
    figureS3,
    figureS4,
    figureS5,
    figureS6,
    figureS7,
    figureS8,
)

ENDINGS = {"": 0.0, "_low": -0.05, "_high": 0.05}
LAYERS = ["0 without positions", "0", "1", "2", "norm"]
DEPTHS = [0.0, 0.5, 1.0]


def measured(axes, values, floor=0.0):
    """A measure with its interval and floor."""
    values = np.asarray(values, dtype=float)
    table = {ending: (axes, values + shift) for ending, shift in ENDINGS.items()}
    return table | {"_floor": (axes, np.full_like(values, floor))}


def table_of(coords, **measures):
    return xr.Dataset(
        {
            name + ending: entry
            for name, (axes, values) in measures.items()
            for ending, entry in measured(axes, values).items()
        },
        coords=coords,
    )


def comparison(level, whole=True):
    """Two stacks of two layers whose similarities are all `level`."""
    flat = (("depth",), [level] * 3)
    found = table_of(
        {"depth": DEPTHS, "method": ["cosine", "csls"], "stage": ["before", "after"]},
        rsa=flat, rsa_uncentred=(("depth",), [level / 2] * 3), cka=flat, pwcca=flat, svcca=flat,
        retrieval=(("depth", "method", "stage"), np.full((3, 2, 2), level)),
    )  # fmt: skip
    if whole:
        layers = {"first_layer": list("012"), "second_layer": list("012")}
        square = (("first_layer", "second_layer"), level + 0.01 * np.eye(3))
        found = found.merge(table_of(layers, all_rsa=square, all_cka=square, all_pwcca=square))
    return found


def write(folder, **tables):
    """Tables as files; "__" stands for "+" and "_" for "-" or "." in names of trainings."""
    paths = []
    for name, table in tables.items():
        stem = name.replace("__", "+").replace("_seed", ".seed").replace("_", "-")
        paths.append(folder / f"{stem}.nc")
        table.to_netcdf(paths[-1])
    return paths


@pytest.fixture
def pairs(tmp_path):
    return {
        "objectives": write(
            tmp_path, clm_en__mlm_en=comparison(0.3), clm_en_seed2__mlm_en_seed2=comparison(0.9)
        ),
        "languages": write(tmp_path, mt_en_de__mt_en_fi=comparison(0.5, False)),
        "seeds": write(tmp_path, clm_en__clm_en_seed2=comparison(0.7, False)),
    }


def lines(axes):
    return [np.asarray(line.get_ydata(), dtype=float) for line in axes.get_lines()]


def labels(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def has_line(axes, level):
    return any(np.allclose(line, level) for line in lines(axes))


def test_the_distance_of_seeds_and_languages_is_the_scale_of_that_of_objectives(pairs):
    figure = figureS3.draw(pairs, {})
    rows = [axes for axes in figure.axes if "equal depth" in axes.get_title()]
    assert len(rows) == 3
    for axes in rows:
        assert all(has_line(axes, level) for level in (0.3, 0.5, 0.7, 0.0))
        assert not has_line(axes, 0.9), "the pair of the second seeds is no objective of its own"
    assert has_line(rows[0], 0.15), "RSA that is not centred"
    assert {"other seed of the same model", "floor", "RSA, not centred"} <= set(labels(figure))


def test_no_word_found_is_cut_off_and_seeds_are_the_scale(pairs):
    figure = figureS8.draw(pairs, {})
    assert len(figure.axes) == 2
    for axes in figure.axes:
        low, high = axes.get_ylim()
        assert low == 0 and high > 0.7
        assert all(has_line(axes, level) for level in (0.3, 0.5, 0.7, 0.0))


def test_without_other_seeds_no_scale_is_promised(pairs):
    figure = figureS3.draw(pairs | {"seeds": []}, {})
    assert "other seed of the same model" not in labels(figure)


def space(level):
    by_bin = np.full((len(LAYERS), 5), level)
    names = ("type", "left", "right", "tag")
    flat = (("layer",), [level] * len(LAYERS))
    shares = {f"neighbours_same_{name}": flat for name in names}
    return table_of(
        {"layer": LAYERS}, change=(("layer", "frequency_bin"), by_bin),
        influence=(("layer", "frequency_bin"), by_bin / 2), input_information_share=flat,
        output_information_share=flat, masked_input_share=flat, masked_output_share=flat,
        neighbours_position_distance=flat, **shares,
    )  # fmt: skip


@pytest.fixture
def spaces(tmp_path):
    return write(tmp_path, mlm_en=space(0.4), mlm_en_seed2=space(0.6))


@pytest.mark.parametrize("module", [figureS4, figureS6], ids=["S4", "S6"])
def test_other_seeds_stand_beside_the_first_one(spaces, module):
    figure = module.draw({"spaces": spaces, "hidden": spaces}, {})
    for axes in figure.axes:
        assert all(has_line(axes, level) for level in (0.4, 0.6, 0.0)), axes.get_title()
    assert "other seeds" in labels(figure)


def test_parts_of_speech_have_a_panel_where_they_are_known(spaces, tmp_path):
    figure = figureS6.draw({"spaces": spaces}, {})
    assert len(figure.axes) == 5
    untagged = space(0.4)
    untagged = untagged.drop_vars([name for name in untagged if "same_tag" in name])
    [path] = write(tmp_path, clm_en=untagged)
    assert len(figureS6.draw({"spaces": [path]}, {}).axes) == 4


def test_change_and_influence_of_other_seeds_are_drawn(spaces):
    figure = figureS5.draw({"spaces": spaces, "hidden": spaces}, {})
    change, influence = figure.axes
    assert has_line(change, 0.4) and has_line(change, 0.6)
    assert has_line(influence, 0.2) and has_line(influence, 0.3)


def snapshots(related):
    """Three layers over nine intervals; loss change goes with change, or with nothing."""
    draw = np.random.default_rng(0)
    moves = draw.random((2, 9, 3)) * np.linspace(1, 2, 3)
    layers, updates = ["0", "1", "2", "3"], list(range(10))
    change = np.concatenate([np.zeros((9, 1)), moves[0]], axis=1)
    lowered = np.stack([moves[0 if related else 1].T] * 2)
    return xr.Dataset(
        {
            "change": (("interval", "layer"), change),
            "change_floor": (("interval", "layer"), np.full((9, 4), 0.93)),
            "to_end": (("snapshot", "layer"), np.linspace(1, 0, 10)[:, None] * np.ones(4)),
            "to_end_floor": (("snapshot", "layer"), np.full((10, 4), 0.93)),
            "loss_change": (("part", "inner_layer", "interval"), lowered),
        },
        coords={
            "layer": layers, "inner_layer": layers[1:], "snapshot": updates,
            "interval": updates[1:], "part": ["layer", "feed-forward"],
        },
    )  # fmt: skip


def test_loss_change_stands_above_the_change_of_states_on_one_axis(tmp_path):
    table = snapshots(True)
    paths = write(tmp_path, mt_en_de=table, mt_en_de_seed2=snapshots(False))
    seeds = write(tmp_path, mt_en_de__mt_en_de_seed2=comparison(0.6, False))
    figure = figureS7.draw({"snapshots": paths, "seeds": seeds}, {})
    lost, change, to_end = figure.axes[:3]
    for layer in "123":
        expected = table["loss_change"].sel(part="layer", inner_layer=layer).values
        assert any(line.shape == (9,) and np.allclose(line, expected) for line in lines(lost))
        expected = table["change"].sel(layer=layer).values
        assert any(np.allclose(line, expected) for line in lines(change) if len(line) == 9)
    assert lost.get_xlim() == change.get_xlim() == to_end.get_xlim()
    assert "r = 1.00" in lost.get_title() and "p = 0.11" in lost.get_title()
    assert "other seeds: r = " in lost.get_title()
    assert [text.get_text() for text in change.texts] == ["floor 0.93\nother seed 0.40"]


@pytest.mark.parametrize("number", ["S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8"])
def test_a_run_without_models_has_a_message_in_place_of_a_figure(number):
    [study] = load_studies(["representations"])
    assert number in {figure.number for figure in study.figures}
    module = import_module(f"studies.representations.figures.figure{number}")
    names = ("spaces", "hidden", "objectives", "languages", "seeds", "snapshots")
    figure = module.draw(dict.fromkeys(names, ()), {})
    assert any("has nothing to show" in text.get_text() for text in figure.texts)
