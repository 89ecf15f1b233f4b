"""The lower part of Figure C: for every model, sum of all LCA / measured change of the loss."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from losschange.analysis.conservation import CONSERVED, probe_measure
from losschange.analysis.conservation_profiles import ConservationProfile
from losschange.cube.estimators import TRAIN, in_order, texts_of

from .estimator_key import (
    INDENT,
    LINE_HEIGHT,
    LineStyle,
    gradient_name,
    is_first_order,
    key_row,
    marker_look,
    measure_name,
    start_key,
    times,
)
from .style import SMALL

BAND = "0.91"
ROW_HEIGHT = 0.135  # inches of a model's row
NOTE_GAP = 0.25  # lines between two paragraphs
EDGE = 0.015  # share of the width where arrows stand
NARROWEST, WIDEST = 0.08, 0.5  # reach of the magnified scale to each side of 1
NO_PROBE = (
    "No probe was recorded. Nothing here is expected at 1: batch and fresh see single updates to "
    "first order, and the loss they are held against is not of the text they see."
)


def lowest_height(profiles: Sequence[ConservationProfile]) -> float:
    """Height in inches of the rows of all models, or of the notes beside them if larger."""
    lines = sum(len(note) + NOTE_GAP for note in _notes(profiles))
    return max(ROW_HEIGHT * len(profiles) + 0.2, LINE_HEIGHT * lines, 0.8)


def draw_ratios(
    full: Axes,
    magnified: Axes,
    profiles: Sequence[ConservationProfile],
    row_height: float,
    looks: dict[str, LineStyle],
) -> None:
    """A marker per model and estimator, on a log scale and magnified around 1.

    Parameters
    ----------
    full, magnified : Axes
    profiles : sequence of ConservationProfile
        Top row first.
    row_height : float
        Height of a row, in inches.
    looks : mapping of estimator to LineStyle
    """
    recorded = _recorded(profiles)
    reach = 0.24 * ROW_HEIGHT / row_height if len(recorded) > 1 else 0
    # each estimator has its own height within a row, so that markers do not overlap
    lanes = dict(zip(recorded, np.linspace(-reach, reach, len(recorded)), strict=True))
    _log_scale(full, profiles)
    around_one = _around_one(profiles)
    magnified.set_xlim(1 - around_one, 1 + around_one)
    magnified.xaxis.set_major_locator(MaxNLocator(5))
    for axes in (full, magnified):
        _draw_rows(axes, profiles, lanes, looks)
    _write_batch(full, profiles, lanes)
    marks = _unusual_marks(profiles)
    full.set_yticks(range(len(profiles)), [p.model + marks.get(p.model, "") for p in profiles])
    magnified.set_yticks(range(len(profiles)), [""] * len(profiles))
    full.set_xlabel("ΣLCA ÷ measured change of the loss (log scale)")
    magnified.set_xlabel("the same around 1; shaded: {} to {}".format(*CONSERVED))
    if not _probe_ratios(profiles):
        magnified.clear()
        magnified.axis("off")
        sentence = "\n".join(textwrap.wrap(NO_PROBE, 46))
        magnified.text(0.5, 0.5, sentence, ha="center", va="center", size=7)


def draw_notes(
    axes: Axes,
    profiles: Sequence[ConservationProfile],
    height: float,
    looks: dict[str, LineStyle],
) -> None:
    """Write the meaning of the markers and the measures that the sums are divided by."""
    start_key(axes, height)
    place = 0.0
    for name, *explanation in _notes(profiles):
        if name:
            axes.plot([0.07], [-place], **marker_look(looks[name]))
            key_row(axes, place, name, left=INDENT)
            place += 1
        for line in explanation:
            axes.text(INDENT, -place, line, size=SMALL, va="center", color="0.4")
            place += 1
        place += NOTE_GAP


def _draw_rows(
    axes: Axes,
    profiles: Sequence[ConservationProfile],
    lanes: dict[str, float],
    looks: dict[str, LineStyle],
) -> None:
    axes.axvspan(*CONSERVED, color=BAND, linewidth=0)
    axes.axvline(1, color="black", linewidth=0.7)
    for row, profile in enumerate(profiles):
        if row and profile.objective != profiles[row - 1].objective:
            axes.axhline(row - 0.5, color="0.5", linewidth=0.4)
        for name, ratio in profile.ratios.items():
            look = marker_look(looks[name])
            if ratio <= 0 and axes.get_xscale() == "log":
                # A log scale cannot show negative ratios: draw an arrow at its edge.
                ratio, look["marker"] = EDGE, "<"
                look["transform"] = axes.get_yaxis_transform()
            if name in profile.ratio_ranges:
                ends = np.maximum(profile.ratio_ranges[name], axes.get_xlim()[0])
                axes.plot(ends, [row + lanes[name]] * 2, color="0.4", linewidth=0.6, zorder=1)
            axes.plot([ratio], [row + lanes[name]], **look)
    axes.set_ylim(len(profiles) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)


def _write_batch(
    axes: Axes, profiles: Sequence[ConservationProfile], lanes: dict[str, float]
) -> None:
    """Write the ratio of the paper's estimator to the right of each marker."""
    for row, profile in enumerate(profiles):
        ratio = profile.ratios.get("batch", np.nan)
        if not np.isfinite(ratio):
            continue
        here = (ratio, "data") if ratio > 0 else (EDGE, axes.get_yaxis_transform())
        axes.annotate(
            times(ratio),
            (here[0], row + lanes["batch"]),
            xycoords=here[1],
            xytext=(4, 0),
            textcoords="offset points",
            va="center_baseline",
            size=SMALL,
        )


def _log_scale(axes: Axes, profiles: Sequence[ConservationProfile]) -> None:
    ratios = [ratio for profile in profiles for ratio in profile.ratios.values()]
    positive = [ratio for ratio in ratios if ratio > 0]
    low, high = min([0.7, *(0.8 * r for r in positive)]), max([1.5, *positive])
    if any(ratio <= 0 for ratio in ratios):
        low = min(low, 0.6 * high**-0.3)  # room at the edge for the number
    axes.set_xscale("log")
    axes.set_xlim(low, high * (high / low) ** 0.2)
    ticks = [digit * 10.0**power for power in range(-3, 5) for digit in (1, 2, 5)]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _around_one(profiles: Sequence[ConservationProfile]) -> float:
    """Half-width of the magnified scale: it contains all probes that are not far from 1."""
    off = [1.2 * abs(ratio - 1) for ratio in _probe_ratios(profiles)]
    return min(WIDEST, max([NARROWEST, *off]))


def _probe_ratios(profiles: Sequence[ConservationProfile]) -> list[float]:
    """Ratios of a probe's sum to the change on its own text, which should be 1."""
    return [
        ratio
        for profile in profiles
        for name, ratio in profile.ratios.items()
        if not is_first_order(name) and np.isfinite(ratio)
    ]


def _recorded(profiles: Sequence[ConservationProfile]) -> list[str]:
    return in_order({name for profile in profiles for name in profile.ratios})


def _held_against(profiles: Sequence[ConservationProfile]) -> list[str]:
    """The measures that first-order sums are divided by, the most frequent first."""
    found = [p.references[n] for p in profiles for n in in_order(p.ratios) if is_first_order(n)]
    return sorted(dict.fromkeys(found), key=found.count, reverse=True)


def _unusual_marks(profiles: Sequence[ConservationProfile]) -> dict[str, str]:
    """Marks for models whose sums are divided by another measure than those of most models."""
    usual = _held_against(profiles)[:1]
    return {p.model: " †" for p in profiles if p.references.get("batch") not in usual}


def _notes(profiles: Sequence[ConservationProfile]) -> list[list[str]]:
    """Paragraphs as lists of lines: one per estimator, with its name first, and one on measures."""
    recorded = _recorded(profiles)
    notes = [[name, gradient_name(name)] for name in recorded]
    usual, *others = [measure_name(measure) for measure in _held_against(profiles)] or ["–"]
    measures = [f"measured: {usual}"]
    for text in texts_of(recorded):
        if text != TRAIN:
            measures.append(f"_{text}: {measure_name(probe_measure(text))}")
    return [*notes, ["", *measures, *(f"†: {other}" for other in others)]]
