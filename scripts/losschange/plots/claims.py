"""Plot of one claim: its numbers and intervals under every estimator, and its criterion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from losschange.claims.verdicts import Condition, Part

from .style import SMALL, new_figure

VERDICT_COLOURS = {"holds": "#009E73", "does not hold": "#D55E00", "cannot tell": "0.45"}
SHADE = "#E5F4EE"


@dataclass(frozen=True)
class ClaimPanel:
    """One condition of a claim and its results, by name of the row."""

    condition: Condition
    parts: Mapping[str, Part]


def draw_claim(panels: Sequence[ClaimPanel]) -> Figure:
    """A panel per condition, a row per result; the range of the criterion is shaded."""
    rows = max(len(panel.parts) for panel in panels)
    figure = new_figure(0.55 + 0.24 * rows, width=3.3 * len(panels))
    for axes, panel in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        _draw_panel(axes, panel)
    return figure


def _draw_panel(axes: Axes, panel: ClaimPanel) -> None:
    condition = panel.condition
    axes.set_title(condition.name, size=SMALL + 0.5, wrap=True)
    axes.set_xlabel("" if condition.unit == "1" else condition.unit)
    axes.set_yticks(range(len(panel.parts)), list(panel.parts))
    axes.set_ylim(len(panel.parts) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    shown = [bound for bound in (condition.least, condition.most) if np.isfinite(bound)]
    for place, part in enumerate(panel.parts.values()):
        colour = VERDICT_COLOURS[part.verdict]
        dots = [value for value, _, _ in part.models.values() if np.isfinite(value)]
        axes.plot(dots, [place] * len(dots), ".", color="0.6", markersize=2.5, zorder=2)
        if np.isfinite([part.low, part.high]).all():
            axes.plot([part.low, part.high], [place] * 2, color=colour, linewidth=1.6)
        if np.isfinite(part.value):
            axes.plot(part.value, place, "o", color=colour, markersize=4, zorder=3)
        numbers = [*dots, part.value, part.low, part.high]
        shown += [number for number in numbers if np.isfinite(number)]
    room = 0.06 * (max(shown) - min(shown)) or 1.0
    left, right = min(shown) - room, max(shown) + room
    axes.set_xlim(left, right)
    axes.axvspan(
        max(left, condition.least), min(right, condition.most), color=SHADE, linewidth=0, zorder=0
    )
    for bound in (condition.least, condition.most):
        if np.isfinite(bound):
            axes.axvline(bound, color="0.2", linewidth=0.7, zorder=1)
