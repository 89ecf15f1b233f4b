"""Figures show what the summaries say, for any size of run, and the same bytes every time."""

import itertools
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from common.files import UserError
from illustrations import arguments, draw, write_figure
from losschange.analysis.profiles import (
    ModelProfile,
    head_profile,
    layer_profile,
    positive_profile,
    training_profile,
)
from losschange.analysis.summaries import open_summary, summarise_cube, write_summary
from losschange.plots.head_maps import draw_head_maps
from losschange.plots.layer_bars import draw_layer_bars
from losschange.plots.overlay_lines import draw_overlay_lines, line_looks
from losschange.plots.positive_maps import draw_positive_maps
from losschange.plots.style import LOOKS as DRAWN_LOOKS
from losschange.plots.style import SMALL, house_style
from losschange.plots.training_lines import draw_training_lines
from objectives import LOOKS
from synthetic_cubes import write_cube

MODELS = ("clm-en", "mlm-en", "mlm-et", "mt-en-de")
SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("summaries")
    for seed, model in enumerate(MODELS):
        cube = folder / f"{model}.cube.nc"
        write_cube(cube, model, 120, layers=4, heads=2, seed=seed)
        write_summary(summarise_cube(cube), folder / f"{model}.nc")
    return {model: folder / f"{model}.nc" for model in MODELS}


@pytest.fixture
def summaries(paths):
    return {model: open_summary(path) for model, path in paths.items()}


@pytest.fixture(autouse=True)
def styled():
    DRAWN_LOOKS.update(LOOKS)
    with house_style():
        yield


def test_a_contribution_is_minus_the_total_over_heads(summaries):
    summary = summaries["mt-en-de"]
    profile = layer_profile(summary, "batch")
    expected = -np.nansum(summary["totals"].sel(estimator="batch", component="key"), axis=-1)
    np.testing.assert_allclose(profile.values["key"], expected[1:5])
    assert (profile.layers, profile.border) == (4, 2)
    assert layer_profile(summaries["clm-en"], "batch").border is None


def bar_heights(axes):
    corners = [path.vertices for bars in axes.collections for path in bars.get_paths()]
    return [corner[2, 1] for corner in corners]


def test_bars_are_contributions_with_the_encoder_first(summaries):
    profiles = [layer_profile(summaries[m], "batch") for m in ("clm-en", "mt-en-de")]
    figure = draw_layer_bars(profiles)
    axes = dict(zip(("embedding", "key", "query"), figure.axes[7:10], strict=True))
    np.testing.assert_allclose(bar_heights(axes["key"]), profiles[1].values["key"])
    border = [line.get_xdata()[0] for line in axes["key"].lines]
    assert 2.5 in border
    assert axes["key"].get_ylim() == axes["query"].get_ylim() != axes["embedding"].get_ylim()


def test_bars_of_parameters_that_hurt_stay_inside_the_panel():
    values = {n: np.array([-2.0, 1.0]) for n in ("key", "query", "value", "out", "W1", "W2")}
    profile = ModelProfile("clm-en", "clm", "en", 2, None, values | {"embedding": np.zeros(1)})
    for axes in draw_layer_bars([profile]).axes[1:]:
        assert axes.get_ylim()[0] < -2


def test_training_lines_have_a_column_per_layer_and_one_scale_per_row(summaries):
    profiles = [training_profile(summaries[m], "batch") for m in ("clm-en", "mlm-en")]
    figure = draw_training_lines(profiles, [12], 120)
    grid = np.array(figure.axes).reshape(2, 5)
    for row in grid:
        assert len({axes.get_ylim() for axes in row[1:]}) == 1
        assert all(len(axes.lines) == 3 for axes in row)  # two models and the zero line
    for model, line in zip(profiles, grid[1, 3].lines[:2], strict=True):
        assert np.array_equal(line.get_ydata(), model.values["feed-forward"][:, 2])
    assert np.array_equal(grid[0, 0].lines[0].get_ydata(), grid[1, 0].lines[0].get_ydata())


def test_head_maps_fill_the_range_of_each_panel(summaries):
    profile = head_profile(summaries["mt-en-de"], "batch")
    for axes, name in zip(draw_head_maps([profile]).axes, ("key", "query", "value"), strict=False):
        shown = axes.images[0].get_array()
        assert shown.shape == (2, 4) and shown.min() == 0 and shown.max() == 1
        assert np.argmax(shown) == np.argmax(profile.values[name].T)


def test_positive_maps_are_clipped_and_hide_what_helped(summaries):
    profile = positive_profile(summaries["mlm-en"], "batch", "summed", most_bins=50)
    figure = draw_positive_maps(profile, "nats summed")
    mesh = figure.axes[4].collections[0]
    assert mesh.get_clim() == (0, 1)
    shown = mesh.get_array()
    assert np.array_equal(shown.mask, ~(profile.values["W1"] > 0))
    assert shown.shape == (4, 40)  # 120 bins joined by threes
    assert "nats summed" in figure.axes[-1].get_ylabel()


def test_joined_bins_keep_the_largest_value(summaries):
    fine = positive_profile(summaries["mlm-en"], "batch", "summed", most_bins=500)
    coarse = positive_profile(summaries["mlm-en"], "batch", "summed", most_bins=50)
    largest = fine.values["W2"].reshape(4, 40, 3).max(axis=-1)
    assert np.array_equal(coarse.values["W2"], largest)
    assert coarse.values["edge"][[0, -1]].tolist() == [0, 120]


def test_overlay_dashes_only_the_estonian_mlm_and_tells_models_apart(summaries):
    profiles = [layer_profile(summary, "batch") for summary in summaries.values()]
    looks = line_looks(profiles, dashed=["mlm-et"])
    assert [look["label"] for look in looks if look["linestyle"] != "-"] == ["mlm-et"]
    assert len({look["color"] for look in looks}) == len(MODELS)
    assert len({look["marker"] for look in looks}) == 3
    # the line of a translation model is broken at the border
    assert len(draw_overlay_lines(profiles).axes[1].lines) >= len(MODELS) + 1


def test_titles_of_five_objectives_do_not_overlap(summaries):
    """Also where one has four models and the last two have one each."""
    like = {"plm": "clm-en", "dae": "mt-en-de"}
    profiles = [layer_profile(summary, "batch") for summary in summaries.values()]
    profiles += [
        replace(layer_profile(summaries[model], "batch"), objective=name, model=f"{name}-en")
        for name, model in like.items()
    ]
    figure = draw_overlay_lines(profiles)
    figure.draw_without_rendering()
    titles = [title.get_window_extent() for title in figure.axes[0].get_xticklabels()]
    assert len(titles) == 5
    for one, other in itertools.pairwise(titles):
        assert one.x1 < other.x0
    markers = [line.get_xdata()[0] for line in figure.axes[0].lines]
    assert len(set(markers)) == len(profiles)


def test_no_text_is_too_small_to_print(summaries):
    profiles = [layer_profile(summary, "batch") for summary in summaries.values()]
    training = [training_profile(summary, "batch") for summary in summaries.values()]
    for figure in (
        draw_layer_bars(profiles),
        draw_overlay_lines(profiles),
        draw_training_lines(training, [12], 120),
        draw_head_maps([head_profile(summaries["clm-en"], "batch")]),
    ):
        texts = figure.findobj(lambda artist: hasattr(artist, "get_fontsize"))
        assert min(text.get_fontsize() for text in texts if text.get_text()) >= SMALL


def sentence_of(figure):
    assert not figure.axes
    return " ".join(figure.texts[0].get_text().split())


def test_figures_say_in_words_what_is_missing(summaries):
    assert "no such model" in sentence_of(draw(4, []))
    assert "no additional models" in sentence_of(draw(6, []))
    for number in (1, 2, 3, 5):
        assert f"Figure {number} has nothing" in sentence_of(draw(number, []))


@pytest.mark.parametrize("number", range(1, 7))
def test_scripts_write_identical_bytes(paths, tmp_path, number):
    chosen = [paths["mlm-en"]] if number == 4 else paths.values()
    for folder in ("a", "b"):
        write_figure(number, tmp_path / folder / f"figure{number}", chosen)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == [f"figure{number}.{kind}" for kind in ("pdf", "png", "svg")]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_bytes_depend_neither_on_the_process_nor_on_the_users_settings(paths, tmp_path):
    for folder, seed, settings in (("a", "1", ""), ("b", "2", "font.size: 20\nsvg.hashsalt: x\n")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "matplotlibrc").write_text(settings)
        subprocess.run(
            [sys.executable, SCRIPTS / "make_figure.py"]
            + arguments(3, "figure3", {"summaries": [paths["clm-en"]]}),
            cwd=tmp_path / folder,
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": f"UTC+{seed}"},
            check=True,
        )
    for kind in ("pdf", "png", "svg"):
        one, other = (tmp_path / folder / f"figure3.{kind}" for folder in ("a", "b"))
        assert one.read_bytes() == other.read_bytes(), kind


def test_an_estimator_that_was_not_recorded_is_named(paths, tmp_path):
    with pytest.raises(UserError, match="'probe'; recorded: batch"):
        write_figure(1, tmp_path / "figure1", [paths["clm-en"]], estimator="probe")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("model", ["clm-en", "mlm-en", "mt-en-de"])
def test_two_layers_and_two_heads_are_enough(tmp_path, model):
    write_cube(tmp_path / "cube.nc", model, 12, layers=2, heads=2)
    write_summary(summarise_cube(tmp_path / "cube.nc"), tmp_path / "s.nc")
    for number in range(1, 7):
        figure = draw(number, [open_summary(tmp_path / "s.nc")])
        figure.draw_without_rendering()
        assert figure.axes
