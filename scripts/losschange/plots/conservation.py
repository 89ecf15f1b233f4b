"""Figure C: the sum of all LCA and the measured change of the loss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from losschange.analysis.conservation_profiles import ConservationProfile

from .conservation_ratios import draw_notes, draw_ratios, lowest_height
from .estimator_key import (
    LineStyle,
    key_row,
    line_look,
    looks_of,
    measure_name,
    measured_look,
    sample_row,
    start_key,
    times,
)
from .style import count_format, look_of, new_figure, set_padding

CURVE_HEIGHT = 1.4  # inches of a model's curves
WIDTHS = (1, 1, 0.78)
BAND = "0.91"
FEW_POINTS = 40  # up to so many validations are marked one by one


def draw_conservation(
    main: Sequence[ConservationProfile], everything: Sequence[ConservationProfile]
) -> Figure:
    """Curves of the main models, then the final ratios of all models.

    A row per main model has its curves in full range, its curves in the range of the measured
    loss, and the numbers. Below, a row per model has its ratios as markers, on a log scale and on
    a magnified scale around 1.

    Parameters
    ----------
    main, everything : sequence of ConservationProfile
        From `losschange.analysis.conservation_profiles`; `everything` not empty.
    """
    looks = looks_of(name for profile in [*main, *everything] for name in profile.sums)
    lowest = lowest_height(everything)
    heights = [CURVE_HEIGHT] * len(main) + [lowest]
    figure = new_figure(sum(heights) + 0.75)
    grid = figure.subplots(
        len(heights), 3, squeeze=False, height_ratios=heights, width_ratios=WIDTHS
    )
    for row, profile in zip(grid, main, strict=False):
        _draw_curves(row, profile, looks)
    if main:
        grid[0, 0].set_title("change since the start (nats per token)")
        grid[0, 1].set_title("the shaded range, magnified")
        for axes in grid[len(main) - 1, :2]:
            axes.set_xlabel("update")
    draw_ratios(grid[-1, 0], grid[-1, 1], everything, lowest / len(everything), looks)
    draw_notes(grid[-1, 2], everything, lowest, looks)
    set_padding(figure, w_pad=0.04)
    return figure


def _draw_curves(
    row: Sequence[Axes], profile: ConservationProfile, looks: dict[str, LineStyle]
) -> None:
    full, magnified, key = row
    low, high = _measured_range(profile)
    full.axhspan(low, high, color=BAND, linewidth=0)
    for axes in (full, magnified):
        for text, measure in profile.shown_measures.items():
            updates, change = profile.changes[measure]
            rarely = measure == "validation" and len(updates) <= FEW_POINTS
            marker = "o" if rarely else ""
            axes.plot(updates, change, **measured_look(text, looks), marker=marker, markersize=4)
        for name, curve in profile.sums.items():
            if name in profile.sum_ranges:
                band, colour = profile.sum_ranges[name], looks[name]["color"]
                axes.fill_between(curve[0], *band, color=colour, alpha=0.25, linewidth=0)
            axes.plot(*curve, **line_look(looks[name]), linewidth=1.1)
        axes.set_xlim(0, 1.02 * profile.last_update)
        count_format(axes.xaxis, most=5)
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    magnified.set_ylim(low, high)
    name = f"{look_of(profile.objective).title}\n{profile.model}".strip()
    if profile.trainings > 1:
        name += f"\nmean of {profile.trainings}"
    full.set_ylabel(name, weight="bold")
    _draw_numbers(key, profile, looks)


def _measured_range(profile: ConservationProfile) -> tuple[float, float]:
    """Axis limits around all measured changes; around all sums if nothing was measured."""
    shown = profile.shown_measures.values()
    curves = [profile.changes[name] for name in shown] or list(profile.sums.values())
    values = np.concatenate([[0.0], *(curve for _, curve in curves)])
    low, high = np.nanmin(values), np.nanmax(values)
    room = 0.08 * (high - low) or 1.0
    return low - room, high + room


def _draw_numbers(axes: Axes, profile: ConservationProfile, looks: dict[str, LineStyle]) -> None:
    """List the curves' names and their values at the end of training."""
    start_key(axes, CURVE_HEIGHT)
    key_row(axes, 0, "measured", "nats", weight="bold")
    place = 0.0
    for text, measure in profile.shown_measures.items():
        place += 1
        change = f"{profile.changes[measure][1][-1]:+.3f}".replace("-", "−")
        sample_row(axes, place, measured_look(text, looks), measure_name(measure), change)
    place += 1.3
    unlike = [m for m in profile.references.values() if not m.endswith("_probe")]
    against = measure_name(unlike[0]) if unlike else "measured"
    key_row(axes, place, "ΣLCA", f"÷ {against}", weight="bold")
    for name, ratio in profile.ratios.items():
        place += 1
        sample_row(axes, place, line_look(looks[name]) | {"linewidth": 1.4}, name, times(ratio))
