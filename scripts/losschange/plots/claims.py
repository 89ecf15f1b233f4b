"""One claim: its numbers under every estimator, with intervals, beside the criterion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from losschange.plots.style import SMALL, new_figure

VERDICT_COLOURS = {"holds": "#009E73", "does not hold": "#D55E00", "cannot tell": "0.45"}
SHADE = "#E5F4EE"


@dataclass(frozen=True)
class Estimate:
    """What one estimator measured: value and interval, its verdict, and the same by model."""

    estimator: str
    value: float
    low: float
    high: float
    verdict: str
    models: dict[str, tuple[float, float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class ClaimPanel:
    """One condition of a claim: its name and unit, its range, and the estimates of it."""

    name: str
    unit: str
    least: float
    most: float
    estimates: Sequence[Estimate]


def draw_claim(panels: Sequence[ClaimPanel]) -> Figure:
    """A panel per condition, a row per estimator; the range that meets the criterion is shaded."""
    rows = max(len(panel.estimates) for panel in panels)
    figure = new_figure(0.55 + 0.24 * rows, width=3.3 * len(panels))
    for axes, panel in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        _draw_panel(axes, panel)
    return figure


def _draw_panel(axes: Axes, panel: ClaimPanel) -> None:
    axes.set_title(panel.name, size=SMALL + 0.5, wrap=True)
    axes.set_xlabel("" if panel.unit == "1" else panel.unit)
    axes.set_yticks(range(len(panel.estimates)), [e.estimator for e in panel.estimates])
    axes.set_ylim(len(panel.estimates) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    shown = [bound for bound in (panel.least, panel.most) if np.isfinite(bound)]
    for place, estimate in enumerate(panel.estimates):
        colour = VERDICT_COLOURS[estimate.verdict]
        dots = [value for value, _, _ in estimate.models.values() if np.isfinite(value)]
        axes.plot(dots, [place] * len(dots), ".", color="0.6", markersize=2.5, zorder=2)
        if np.isfinite([estimate.low, estimate.high]).all():
            axes.plot([estimate.low, estimate.high], [place] * 2, color=colour, linewidth=1.6)
        if np.isfinite(estimate.value):
            axes.plot(estimate.value, place, "o", color=colour, markersize=4, zorder=3)
        numbers = [*dots, estimate.value, estimate.low, estimate.high]
        shown += [number for number in numbers if np.isfinite(number)]
    room = 0.06 * (max(shown) - min(shown)) or 1.0
    left, right = min(shown) - room, max(shown) + room
    axes.set_xlim(left, right)
    axes.axvspan(max(left, panel.least), min(right, panel.most), color=SHADE, linewidth=0, zorder=0)
    for bound in (panel.least, panel.most):
        if np.isfinite(bound):
            axes.axvline(bound, color="0.2", linewidth=0.7, zorder=1)
