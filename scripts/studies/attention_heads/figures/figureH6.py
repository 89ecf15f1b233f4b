"""Figure H6: over training, what heads do, and when they contribute."""

from __future__ import annotations

import textwrap

import numpy as np

from losschange.plots.style import SMALL, count_text, draw_message, new_figure, value_format

from ..drawing import COLOURS, NO_FUNCTION, say
from ..figure_data import functions_of, read_panels, read_relations, strengths, timing

# Names of snapshots that have room below a panel.
NAMED = 6


def draw(inputs, options):
    """A column per attention type: functions and confidence above, contributions below."""
    panels, relations = read_panels(inputs), read_relations(inputs)
    if not panels:
        return draw_message("Figure H6 has nothing to show: this run has no main model.")
    figure = new_figure(3.9)
    grid = figure.subplots(2, len(panels), squeeze=False)
    for above, below, panel in zip(*grid, panels, strict=True):
        updates = panel.training.heads["snapshot"].values
        _functions(above, panel, updates)
        over = relations["models"][panel.training.name]["over_training"].get(panel.attention)
        if over is None:
            say(below, "cannot tell: no LCA between these snapshots")
            continue
        contributions = np.array(over) / np.diff(updates)[:, None, None]
        _contributions(below, panel, updates, contributions)
        found = timing(panel, contributions)
        told = textwrap.fill(f"cannot tell: {found.reason}", 30)
        if found.reason is None:
            low, high = found.null
            told = f"ρ of onset, peak {found.value:.2f}\nnull {low:.2f} to {high:.2f}"
        below.set_title(told, size=SMALL)
    grid[0, 0].set_ylabel("best head")
    grid[1, 0].set_ylabel("−LCA per head and update\n(nats per token)")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    more = dict(zip(*grid[1, 0].get_legend_handles_labels()[::-1], strict=True))
    figure.legend(
        [*handles, *more.values()],
        [*labels, *more],
        loc="outside lower center",
        ncols=4,
        fontsize=SMALL,
    )
    return figure


def _name_snapshots(axes, updates):
    """Ticks at every snapshot, names at so many as have room, the last among them."""
    step = -(-len(updates) // NAMED)
    last = len(updates) - 1
    axes.set_xticks(
        range(len(updates)),
        ["" if (last - at) % step else count_text(each) for at, each in enumerate(updates)],
    )


def _functions(axes, panel, updates):
    places = np.arange(len(updates))
    series = [strengths(panel, at) for at in places]
    for kind, colour in COLOURS.items():
        best = [np.nan if np.isnan(each[kind]).all() else np.nanmax(each[kind]) for each in series]
        axes.plot(places, best, "o-", markersize=2.5, color=colour, label=kind)
    sure = [np.nanmean(panel.values("adjusted_confidence", at)) for at in places]
    axes.plot(places, sure, "s--", markersize=2.5, color="0.3", label="mean adjusted confidence")
    _name_snapshots(axes, updates)
    axes.set_title(panel.title.replace(", ", "\n"), size=SMALL)
    axes.set_xlabel("updates", size=SMALL)


def _contributions(axes, panel, updates, contributions):
    have = np.any(list(functions_of(panel).values()), axis=0)
    places = np.arange(len(contributions)) + 0.5
    for chosen, colour, label in (
        (have, "#D55E00", "heads with a function at the end"),
        (~have, NO_FUNCTION, "heads without"),
    ):
        if not chosen.any():
            continue
        values = contributions[:, chosen]
        axes.plot(places, values.mean(1), "o-", markersize=2.5, color=colour, label=label)
        band = np.percentile(values, (10, 90), axis=1)
        axes.fill_between(places, *band, color=colour, alpha=0.25, linewidth=0)
    axes.axhline(0, color="0.5", linewidth=0.5)
    axes.set_xlim(0, len(contributions))
    _name_snapshots(axes, updates)
    axes.set_xlabel("updates", size=SMALL)
    value_format(axes)
