"""Figure C shows what was allocated beside what was measured, and says what was not."""

import numpy as np
import pytest

from common.files import UserError
from illustrations import draw, write_figure
from losschange.analysis.conservation_profiles import ConservationProfile, conservation_profile
from losschange.analysis.summaries import open_summary, summarise_cube, write_summary
from losschange.plots.conservation import draw_conservation
from losschange.plots.estimator_key import LOOKS, times
from losschange.plots.style import SMALL, house_style
from synthetic_cubes import write_cube

MODELS = ("clm-en", "mlm-en", "mt-en-de")
ALL = {"fresh": 3, "probe": 1, "simpson": 10, "probe_valid": 10, "simpson_valid": 50}


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Summaries with every estimator, and one with the paper's alone."""
    folder = tmp_path_factory.mktemp("summaries")
    for seed, model in enumerate((*MODELS, "clm-fi")):
        estimators = None if model == "clm-fi" else ALL
        write_cube(folder / "cube.nc", model, 120, 4, 2, estimators, seed)
        write_summary(summarise_cube(folder / "cube.nc"), folder / f"{model}.nc")
    return {model: folder / f"{model}.nc" for model in (*MODELS, "clm-fi")}


@pytest.fixture
def summaries(paths):
    return {model: open_summary(path) for model, path in paths.items()}


@pytest.fixture
def profiles(summaries):
    return {model: conservation_profile(summary) for model, summary in summaries.items()}


@pytest.fixture(autouse=True)
def styled():
    with house_style():
        yield


def profile(model="clm-en", ratios=None, references=None, change=-2.0):
    """A profile with straight lines."""
    ratios = ratios or {"batch": 4.5, "probe": 0.98}
    references = references or dict.fromkeys(ratios, "training_probe")
    updates = np.arange(101.0)
    course = (updates, change * updates / 100)
    return ConservationProfile(
        model=model,
        objective=model.split("-")[0],
        last_update=100,
        changes={name: course for name in references.values() if name != "none"},
        sums={name: (updates, course[1] * ratio) for name, ratio in ratios.items()},
        ratios=ratios,
        references=references,
    )


def words(axes):
    return [text.get_text() for text in axes.texts if text.get_text()]


def markers(axes):
    """(x, marker) of the single markers of a panel of ratios."""
    lines = [line for line in axes.lines if line.get_linestyle() == "None"]
    return [(line.get_xdata()[0], line.get_marker()) for line in lines]


def test_a_profile_ends_at_the_summary_s_numbers(summaries, profiles):
    summary, found = summaries["mt-en-de"], profiles["mt-en-de"]
    for measure, (updates, nats) in found.changes.items():
        assert (updates[0], nats[0]) == (0, 0) and updates[-1] == 120
        expected = summary["measured_change"].sel(measure=measure).item()
        assert nats[-1] == pytest.approx(expected)
    for name, (updates, nats) in found.sums.items():
        assert (updates[0], nats[0], len(updates)) == (0, 0, 121)
        assert nats[-1] == pytest.approx(summary["scaled_total"].sel(estimator=name).item())
        measure = summary["reference"].sel(estimator=name).item()
        ratio = summary["over_count"].sel(estimator=name, measure=measure).item()
        assert found.ratios[name] == ratio
    # a validation loss is known where it was measured, and nowhere else
    assert found.changes["validation"][0].tolist() == [0, 30, 60, 90, 120]


def test_curves_are_the_measured_changes_and_the_sums(profiles):
    found = profiles["clm-en"]
    full, magnified, _ = draw_conservation([found], [found]).axes[:3]
    for axes in (full, magnified):
        shown = [line.get_ydata() for line in axes.lines]
        assert np.array_equal(shown[0], found.changes["training_probe"][1])
        assert np.array_equal(shown[1], found.changes["validation_probe"][1])
        for line, (_, nats) in zip(shown[2:], found.sums.values(), strict=True):
            assert np.array_equal(line, nats)


def test_the_magnified_panel_holds_what_was_measured_and_not_the_over_count():
    found = profile()
    full, magnified, _ = draw_conservation([found], [found]).axes[:3]
    low, high = magnified.get_ylim()
    assert -2.5 < low < -2 and 0 < high < 0.5
    assert full.get_ylim()[0] < -9


def test_the_key_gives_the_final_numbers(profiles):
    found = profiles["clm-en"]
    shown = words(draw_conservation([found], [found]).axes[2])
    for name, ratio in found.ratios.items():
        assert shown[shown.index(name) + 1] == times(ratio)
    change = found.changes["validation_probe"][1][-1]
    assert shown[shown.index("validation probe") + 1] == f"{change:+.3f}".replace("-", "−")


def test_every_ratio_is_a_marker_beside_the_line_at_one(profiles):
    shown = [profiles[model] for model in MODELS]
    full, magnified, _ = draw_conservation([], shown).axes
    expected = [(r, LOOKS[name]["marker"]) for p in shown for name, r in p.ratios.items()]
    assert markers(full) == expected
    assert full.get_xscale() == "log" and magnified.get_xscale() == "linear"
    low, high = full.get_xlim()
    assert all(low < ratio < high for ratio, _ in expected)
    for axes in (full, magnified):
        assert [1, 1] in [list(line.get_xdata()) for line in axes.lines]
        band = axes.patches[0].get_extents().transformed(axes.transData.inverted())
        assert (band.x0, band.x1) == (pytest.approx(0.95), pytest.approx(1.05))
    names = [label.get_text() for label in full.get_yticklabels()]
    assert names == list(MODELS) and full.get_ylim()[0] > full.get_ylim()[1]
    assert words(full) == [times(p.ratios["batch"]) for p in shown]


@pytest.mark.parametrize(("ratio", "reach"), [(0.998, 0.08), (0.8, 0.24), (0.01, 0.5)])
def test_the_scale_around_one_fits_the_probes_unless_they_are_far_off(ratio, reach):
    shown = profile(ratios={"batch": 30.0, "probe": ratio})
    assert draw_conservation([], [shown]).axes[1].get_xlim() == pytest.approx(
        (1 - reach, 1 + reach)
    )


def test_without_probes_the_figure_says_so_and_names_the_loss(profiles):
    figure = draw_conservation([profiles["clm-fi"]], [profiles["clm-fi"]])
    full, _, key, _, around_one, notes = figure.axes
    assert {"training loss", "validation loss", "÷ validation loss"} <= set(words(key))
    assert full.lines[1].get_marker() == "o" and len(full.lines[1].get_xdata()) == 5
    assert "No probe was recorded." in " ".join(words(around_one))
    assert "measured: validation loss" in words(notes)


def test_models_held_against_another_loss_are_marked(profiles):
    *_, full, _, notes = draw_conservation([], list(profiles.values())).axes
    names = [label.get_text() for label in full.get_yticklabels()]
    assert names == [*MODELS, "clm-fi †"]
    assert {"measured: training probe", "_valid: validation probe", "†: validation loss"} <= set(
        words(notes)
    )


def test_a_sum_of_the_wrong_sign_is_an_arrow_at_the_edge():
    wrong = profile(ratios={"batch": -3.0}, references={"batch": "validation"}, change=0.05)
    full = draw_conservation([], [profile(), wrong]).axes[0]
    place, marker = markers(full)[-1]
    assert marker == "<" and place < 0.05  # of the width
    assert "−3.00 ×" in words(full)


def test_a_model_without_any_measured_loss_is_drawn_all_the_same():
    unknown = profile(ratios={"batch": np.nan}, references={"batch": "none"})
    figure = draw_conservation([unknown], [unknown])
    figure.draw_without_rendering()
    assert "÷ nothing measured" in words(figure.axes[2])


def test_no_text_is_too_small_to_print(profiles):
    shown = list(profiles.values())
    figure = draw_conservation(shown, shown)
    texts = figure.findobj(lambda artist: hasattr(artist, "get_fontsize"))
    assert min(text.get_fontsize() for text in texts if text.get_text()) >= SMALL


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(4.5, "4.50 ×"), (0.99812, "0.998 ×"), (1.0, "1.000 ×"), (123.4, "123 ×"), (-2.0, "−2.00 ×")],
)
def test_ratios_have_the_digits_that_tell_them_apart(ratio, text):
    assert times(ratio) == text


def test_script_writes_identical_bytes(paths, tmp_path):
    for folder in ("a", "b"):
        stem = tmp_path / folder / "figureC"
        write_figure("C", stem, paths.values(), main=MODELS)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["figureC.pdf", "figureC.png", "figureC.svg"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_curves_are_drawn_of_the_main_models_in_their_order(summaries):
    figure = draw("C", list(summaries.values()), main=["mt-en-de", "clm-en", "mlm-xx"])
    rows = [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()]
    assert rows == ["MT\nmt-en-de", "CLM\nclm-en"]
    nothing = draw("C", [])
    assert "no models" in nothing.texts[0].get_text()


def test_a_missing_summary_is_named(paths, tmp_path):
    with pytest.raises(UserError, match="cannot make figureC: no summary at"):
        write_figure("C", tmp_path / "figureC", [tmp_path / "x.nc"])
    assert not list(tmp_path.iterdir())


def test_an_estimator_on_another_text_is_drawn_beside_that_text(tmp_path):
    """Its own colour, the measured loss of its text, and a name in the notes."""
    from losschange.plots.estimator_key import gradient_name, looks_of, measure_name

    strides = {"probe": 5, "simpson_rare": 10}
    write_cube(tmp_path / "c.nc", "clm-en", 100, 2, 2, estimators=strides)
    profile = conservation_profile(summarise_cube(tmp_path / "c.nc"))
    assert list(profile.shown_measures) == ["train", "valid", "rare"]
    assert profile.references["simpson_rare"] == "rare_probe"
    looks = looks_of(profile.sums)
    assert len({look["color"] for look in looks.values()}) == len(looks) == 3
    assert gradient_name("simpson_rare") == "text rare, Simpson"
    assert measure_name("rare_probe") == "rare probe"
    figure = draw_conservation([profile], [profile])
    figure.draw_without_rendering()
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert "rare probe" in texts and "simpson_rare" in texts and "_rare: rare probe" in texts
    drawn = [line.get_ydata() for line in figure.axes[0].lines]
    expected = profile.changes["rare_probe"][1]
    assert any(np.array_equal(line, expected) for line in drawn if len(line) == len(expected))
