"""Figure I: predicted and measured cost of freezing, and what rewinding cells costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .style import SMALL, look_of, new_figure

COLUMNS = 4
# Nats: axes are linear up to here and logarithmic beyond, because a few points are far out.
LINEAR = 0.01
# Of every kind of intervention.
MARKERS = {"listed": "s", "hurting": "X", "least": "v", "random": "o", "most": "^"}


@dataclass(frozen=True)
class Dot:
    """One point: predicted and measured number (nats per token), with the latter's interval.

    `kind` is a key of MARKERS, or empty for a rewound component.
    """

    objective: str
    kind: str
    predicted: float
    measured: float
    low: float
    high: float


@dataclass(frozen=True)
class Panel:
    """Dots, and a title of two lines: what is shown, and how well the orders agree."""

    title: str
    agreement: str
    dots: Sequence[Dot]


def draw_interventions(freezing: Sequence[Panel], rewinding: Sequence[Panel]) -> Figure:
    """A panel per estimator, then one per training whose components were rewound."""
    rows = [
        (name, list(panels[start : start + COLUMNS]))
        for name, panels in (("freezing", freezing), ("rewinding", rewinding))
        for start in range(0, len(panels), COLUMNS)
    ]
    figure = new_figure(1.9 * len(rows) + 0.5)
    grid = figure.subplots(len(rows), COLUMNS, squeeze=False)
    for axes_row, (name, panels) in zip(grid, rows, strict=True):
        for axes in axes_row[len(panels) :]:
            axes.set_visible(False)
        for axes, panel in zip(axes_row, panels, strict=False):
            _draw(axes, panel)
            axes.set_xscale("symlog", linthresh=LINEAR)
            axes.set_yscale("symlog", linthresh=LINEAR)
        predicted = "predicted: −ΣLCA after" if name == "freezing" else "−ΣLCA of the training"
        axes_row[0].set_ylabel("measured (nats per token)")
        for axes in axes_row[: len(panels)]:
            axes.set_xlabel(f"{predicted} (nats)", size=SMALL)
    dots = [dot for panel in freezing for dot in panel.dots]
    kinds = [kind for kind in MARKERS if any(dot.kind == kind for dot in dots)]
    everyone = [*dots, *(dot for panel in rewinding for dot in panel.dots)]
    objectives = list(dict.fromkeys(dot.objective for dot in everyone))
    handles = [
        *(_handle(MARKERS[kind], "0.3") for kind in kinds),
        *(_handle("o", look_of(name).colour) for name in objectives),
    ]
    names = [*kinds, *(look_of(name).title for name in objectives)]
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), fontsize=SMALL)
    return figure


def _handle(marker: str, colour: str) -> Line2D:
    return Line2D([], [], marker=marker, color=colour, linestyle="", markersize=4)


def _draw(axes: Axes, panel: Panel) -> None:
    for dot in panel.dots:
        colour, frozen = look_of(dot.objective).colour, bool(dot.kind)
        axes.vlines(dot.predicted, dot.low, dot.high, color=colour, linewidth=0.6, alpha=0.6)
        axes.plot(
            dot.predicted,
            dot.measured,
            MARKERS.get(dot.kind, "."),
            color=colour,
            markersize=4 if frozen else 3,
            alpha=0.9 if frozen else 0.6,
            markeredgewidth=0.3,
            markeredgecolor="white" if frozen else colour,
            zorder=3,
        )
    axes.axhline(0, color="0.3", linewidth=0.5)
    axes.axvline(0, color="0.3", linewidth=0.5)
    ends = [value for dot in panel.dots for value in (dot.predicted, 0.0)]
    if ends:
        # The diagonal, within the predictions: it would flatten the dots further out.
        axes.plot(
            [min(ends), max(ends)],
            [min(ends), max(ends)],
            color="0.2",
            linewidth=0.7,
            linestyle=(0, (2, 1.5)),
        )
    axes.set_title(f"{panel.title}\n{panel.agreement}", size=SMALL)
