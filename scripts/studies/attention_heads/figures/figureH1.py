"""Figure H1: confidence, relevance and LCA of every head, heads sorted by relevance."""

from __future__ import annotations

import numpy as np

from losschange.plots.style import SMALL, draw_message, new_figure

from ..drawing import draw_map, row_label, say
from ..figure_data import by_relevance, lca_of, read_panels, read_relations

COLUMNS = ("confidence", "relevance (share of the layer)", "−ΣLCA (nats per token)")


def draw(inputs, options):
    """A row per attention type, a column per measure."""
    panels, relations = read_panels(inputs), read_relations(inputs)
    if not panels:
        return draw_message("Figure H1 has nothing to show: this run has no main model.")
    figure = new_figure(1.15 * len(panels) + 0.5)
    grid = figure.subplots(len(panels), len(COLUMNS), squeeze=False)
    for row, panel in zip(grid, panels, strict=True):
        relevance = panel.values("relevance")
        maps = [panel.values("confidence"), relevance, lca_of(relations, panel)]
        for axes, values in zip(row, maps, strict=True):
            if values is None:
                say(axes, "no LCA of single heads is recorded")
                continue
            limits = {}
            if values is maps[2]:
                largest = float(np.abs(values).max()) or 1.0
                limits = {"cmap": "RdBu", "vmin": -largest, "vmax": largest}
            image = draw_map(axes, by_relevance(values, relevance), **limits)
            bar = figure.colorbar(image, ax=axes, fraction=0.05, pad=0.02)
            bar.outline.set_linewidth(0.5)
        row_label(row[0], panel, "head, most relevant first")
        row[1].set_title(_checks(panel, relations), size=SMALL)
    for axes, title in zip(grid[0], COLUMNS, strict=True):
        axes.set_title("\n".join(filter(None, (title, axes.get_title()))))
    for axes in grid[-1]:
        axes.set_xlabel("layer")
    return figure


def _checks(panel, relations):
    """How far relevance can be relied upon: what stays in biases, and what the other rule says."""
    missing = panel.training.heads.attrs.get("bias_share")
    rank = relations["models"][panel.training.name]["rules"].get(panel.attention)
    told = [] if missing is None else [f"biases {missing:.0%}"]
    return "; ".join([*told, *([] if rank is None else [f"α-β rule: ρ {rank:.2f}"])])
