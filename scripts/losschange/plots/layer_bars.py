"""Figures 1 and 6: bars of the contribution of every layer, a panel per component."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from losschange.analysis.profiles import ModelProfile

from .style import (
    CONTRIBUTION,
    SMALL,
    TITLES,
    layer_ticks,
    look_of,
    mark_border,
    new_figure,
    set_padding,
    value_format,
)

# Groups of panels with the same y scale within a row, so that magnitudes can be compared.
SCALES = (("embedding",), ("key", "query"), ("value", "out"), ("W1", "W2"))

LONGEST_NAME = 9  # letters beside a row


def draw_layer_bars(profiles: Sequence[ModelProfile], row_height: float = 1.25) -> Figure:
    """One row per model, one panel per component.

    Parameters
    ----------
    profiles : sequence of ModelProfile
        From `losschange.analysis.profiles.layer_profile`, top row first.
    row_height : float
        Inches.
    """
    names = [name for group in SCALES for name in group]
    figure = new_figure(row_height * len(profiles) + 0.45)
    grid = figure.subplots(
        len(profiles), len(names), squeeze=False, width_ratios=[0.28] + [1] * (len(names) - 1)
    )
    for row, profile in zip(grid, profiles, strict=True):
        panels = dict(zip(names, row, strict=True))
        for name, axes in panels.items():
            _draw_panel(axes, profile, name)
        for group in SCALES:
            _share_scale({name: panels[name] for name in group}, profile)
        # Longer names would overlap the rows above and below.
        words = [look_of(profile.objective).title, *profile.model.split(".")]
        size = SMALL * min(1, LONGEST_NAME / max(map(len, words)))
        panels["embedding"].set_ylabel("\n".join(words), size=size, weight="bold", linespacing=1.1)
    for name, axes in zip(names, grid[0], strict=True):
        axes.set_title(TITLES[name])
    for axes in grid[:-1].flat:
        axes.set_xticks([])
    grid[-1, 0].set_xticks([1], ["0"])
    for axes in grid[-1, 1:]:
        layer_ticks(axes.xaxis, profiles[-1].layers)
    any_border = any(profile.border for profile in profiles)
    figure.supxlabel(
        "layer; a panel without y tick labels has the scale of its left neighbour"
        + ("\nbar: mean over seeds, line: their range" if any(p.lowest for p in profiles) else "")
        + ("; dashed: border between encoder and decoder (hatched)" if any_border else ""),
        size=7,
    )
    figure.supylabel(CONTRIBUTION, size=7)
    set_padding(figure, wspace=0.01)
    return figure


def _draw_panel(axes: Axes, profile: ModelProfile, name: str) -> None:
    values = profile.values[name]
    border = len(values) if profile.border is None else profile.border
    _draw_bars(axes, values[:border], 1, look_of(profile.objective).colour)
    _draw_bars(axes, values[border:], border + 1, look_of(profile.objective).colour, hatch="//////")
    if name in profile.lowest:
        places = np.arange(1, len(values) + 1)
        axes.vlines(
            places,
            profile.lowest[name],
            profile.highest[name],
            color="0.1",
            linewidth=0.7,
            zorder=3,
        )
    axes.set_xlim(0.3, len(values) + 0.7)
    if name != "embedding":
        mark_border(axes, profile.border)
    axes.axhline(0, color="0.3", linewidth=0.5)
    value_format(axes)


def _draw_bars(axes: Axes, values: np.ndarray, first: int, colour: str, hatch: str = "") -> None:
    # Use one collection instead of a patch per bar: Figure 6 has more than a thousand bars.
    left = np.arange(first, first + len(values)) - 0.39
    corners = [
        [(x, 0), (x + 0.78, 0), (x + 0.78, value), (x, value)]
        for x, value in zip(left, values, strict=True)
    ]
    edge = "white" if hatch else "none"
    axes.add_collection(
        PolyCollection(corners, facecolor=colour, edgecolor=edge, hatch=hatch, linewidth=0)
    )


def _share_scale(panels: dict[str, Axes], profile: ModelProfile) -> None:
    """Give all panels the same limits, and tick labels only to the first."""
    shown = (profile.values, profile.lowest, profile.highest)
    values = np.concatenate([part[name] for part in shown if part for name in panels])
    low, high = min(0, np.nanmin(values)), max(0, np.nanmax(values))
    room = 0.04 * (high - low)
    for position, axes in enumerate(panels.values()):
        axes.set_ylim(low - room if low < 0 else 0, high + room if high > low else 1)
        if position > 0:
            axes.tick_params(labelleft=False)
            axes.yaxis.get_offset_text().set_visible(False)
