"""Figure H2: what every head looks at, and whether relevant heads are confident."""

from __future__ import annotations

import numpy as np

from losschange.plots.style import SMALL, draw_message, new_figure

from ..drawing import COLOURS, NO_FUNCTION, draw_map, row_label, say
from ..figure_data import KINDS, functions_of, read_panels, strengths

TITLES = {
    "positional": "at the best offset (rate)",
    "rare": "at the two rarest tokens (rate)",
    "syntactic": "best relation (rate less offset's)",
}


def draw(inputs, options):
    """A row per attention type: a map per function, and relevance against confidence."""
    panels = read_panels(inputs)
    if not panels:
        return draw_message("Figure H2 has nothing to show: this run has no main model.")
    figure = new_figure(1.2 * len(panels) + 0.6)
    grid = figure.subplots(len(panels), len(KINDS) + 1, squeeze=False)
    for row, panel in zip(grid, panels, strict=True):
        found, have = strengths(panel), functions_of(panel)
        for axes, (kind, values) in zip(row, found.items()):
            if np.isnan(values).all():
                say(axes, f"cannot tell:\n{_reason(panel, kind)}")
                continue
            limits = (-0.3, 0.3) if kind == "syntactic" else (0.0, 1.0)
            colours = "RdBu" if kind == "syntactic" else "viridis"
            image = draw_map(axes, values, have[kind], vmin=limits[0], vmax=limits[1], cmap=colours)
            figure.colorbar(image, ax=axes, fraction=0.05, pad=0.02).outline.set_linewidth(0.5)
        _scatter(row[-1], panel, have)
        row_label(row[0], panel)
    for axes, kind in zip(grid[0], KINDS):
        axes.set_title(TITLES[kind])
    grid[0, -1].set_title("confidence by relevance")
    for axes in grid[-1, :-1]:
        axes.set_xlabel("layer")
    grid[-1, -1].set_xlabel("share of the layer's relevance")
    return figure


def _scatter(axes, panel, have):
    relevance, confidence = panel.values("relevance"), panel.values("confidence")
    none = ~np.any(list(have.values()), axis=0)
    axes.plot(relevance[none], confidence[none], ".", color=NO_FUNCTION, markersize=3, label="none")
    for kind, chosen in have.items():
        axes.plot(
            relevance[chosen],
            confidence[chosen],
            "o",
            color=COLOURS[kind],
            markersize=3,
            markerfacecolor="none",
            label=f"{kind} ({int(chosen.sum())})",
        )
    axes.set_ylim(0, 1)
    axes.legend(fontsize=SMALL - 1, handletextpad=0.1, borderaxespad=0.1)


def _reason(panel, kind):
    if kind == "syntactic":
        if panel.attention == "cross":
            return "relations hold\nwithin one text"
        return str(panel.training.heads.attrs.get("no_syntax") or "no known syntax")[:60]
    return "no rare token" if kind == "rare" else "no such query"
