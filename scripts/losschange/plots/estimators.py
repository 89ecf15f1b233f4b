"""Figure E: the layers' profiles under every estimator, and their rank correlations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from losschange.claims.agreement import BLOCKS, REFERENCE, ZHU_KENDALL, Agreement, BlockProfile

from .estimator_key import LineStyle, looks_of
from .style import SMALL, layer_ticks, mark_border, new_figure, set_padding, value_format


@dataclass(frozen=True)
class EstimatorRow:
    """One model: profiles[estimator][block], agreements with `batch`, encoder layers or None."""

    model: str
    profiles: Mapping[str, Mapping[str, BlockProfile]]
    agreements: Sequence[Agreement]
    border: int | None


def draw_estimators(rows: Sequence[EstimatorRow]) -> Figure:
    """A row per model: attention, feed-forward, and rank correlation with the batch estimator."""
    looks = looks_of(name for row in rows for name in row.profiles)
    figure = new_figure(1.6 * len(rows) + 0.6)
    set_padding(figure, w_pad=0.05)
    grid = figure.subplots(len(rows), 3, squeeze=False, width_ratios=[1, 1, 0.8])
    for axes_row, row in zip(grid, rows, strict=True):
        for axes, block in zip(axes_row, BLOCKS, strict=False):
            _draw_profiles(axes, row, block, looks)
        axes_row[0].set_ylabel(row.model, weight="bold")
        _draw_agreements(axes_row[2], row.agreements, looks)
    for axes, title in zip(grid[0], [*BLOCKS, f"rank correlation with {REFERENCE}"], strict=True):
        axes.set_title(title)
    for axes in grid[-1, :2]:
        axes.set_xlabel("layer")
    names = list(dict.fromkeys(name for row in rows for name in row.profiles))
    handles = [_handle(grid[0, 0], looks[name]) for name in names]
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), fontsize=SMALL)
    return figure


def _handle(axes: Axes, look: LineStyle) -> Line2D:
    (line,) = axes.plot([], [], markersize=3, **look)
    return line


def _draw_profiles(axes: Axes, row: EstimatorRow, block: str, looks: dict[str, LineStyle]) -> None:
    number = len(row.profiles)
    for place, (name, blocks) in enumerate(row.profiles.items()):
        profile, look = blocks[block], looks[name]
        at = np.arange(1, len(profile.share) + 1) + 0.5 * (place - (number - 1) / 2) / number
        axes.plot(at, profile.share, markersize=2.5, zorder=3, **look)
        axes.vlines(at, profile.low, profile.high, color=look["color"], linewidth=0.6, alpha=0.6)
    axes.axhline(0, color="0.3", linewidth=0.5)
    layer_ticks(axes.xaxis, len(profile.share))
    mark_border(axes, row.border)
    value_format(axes)


def _draw_agreements(
    axes: Axes, agreements: Sequence[Agreement], looks: dict[str, LineStyle]
) -> None:
    for place, found in enumerate(agreements):
        colour = looks[found.second]["color"]
        for shift, (value, low, high), marker in (
            (-0.16, found.spearman, "o"),
            (0.16, found.kendall, "D"),
        ):
            axes.plot([low, high], [place + shift] * 2, color=colour, linewidth=1.2)
            axes.plot(value, place + shift, marker, color=colour, markersize=3.5)
    axes.axvline(ZHU_KENDALL, color="0.2", linewidth=0.7, linestyle=(0, (2, 1.5)))
    axes.axvline(0, color="0.3", linewidth=0.5)
    axes.set_yticks(range(len(agreements)), [found.second for found in agreements], size=SMALL)
    axes.set_ylim(max(1, len(agreements)) - 0.5, -0.5)
    axes.set_xlim(-1.05, 1.05)
    axes.grid(axis="y", visible=False)
    if not agreements:
        axes.text(0, 0.25, "no other estimator", ha="center", size=SMALL)
