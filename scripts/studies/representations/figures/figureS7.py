"""Figure S7: the loss change of every layer above the change of its states, over training."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from losschange.claims.statistics import t90
from losschange.plots.style import SMALL, count_text, draw_message, layer_ticks, look_of, new_figure

from ..claims.comparing import relation_of
from ..drawing import SEED, layers_of, objective_of, open_spaces

ROWS = (
    "−ΣLCA of the layer\n(nats per token)",
    "change of states\n(SVCCA distance)",
    "distance to the end\n(SVCCA)",
    "t90 (share of training)",
)


def draw(inputs, options):
    """A column per model; rows: loss change, change, distance to the end, and t90 by layer."""
    snapshots, seeds = open_spaces(inputs["snapshots"]), open_spaces(inputs["seeds"])
    shown = {name: table for name, table in snapshots.items() if SEED not in name}
    if not shown:
        return draw_message("Figure S7 has nothing to show: no main model has snapshots.")
    figure = new_figure(6.4)
    grid = figure.subplots(len(ROWS), len(shown), squeeze=False)
    for column, (name, table) in zip(grid.T, shown.items(), strict=True):
        layers = layers_of(table)[1:]
        colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.92, len(layers)))
        # Snapshots stand at whole numbers, an interval at the snapshot that ends it.
        starts = np.arange(table.sizes["snapshot"])
        ends = starts[1:]
        for layer, colour in zip(layers, colours, strict=True):
            lowered = table["loss_change"].sel(part="layer", inner_layer=layer)
            column[0].plot(ends, lowered, color=colour, marker="o", markersize=1.8)
            for axes, x, measure in ((column[1], ends, "change"), (column[2], starts, "to_end")):
                values = table[measure].sel(layer=layer)
                axes.plot(x, values, color=colour, marker="o", markersize=1.8)
        pairs = [pair for names, pair in seeds.items() if names.startswith(f"{name}+")]
        for axes, measure in ((column[1], "change"), (column[2], "to_end")):
            _note_scale(axes, table[f"{measure}_floor"].sel(layer=layers), pairs)
        _name_updates(column, table)
        _draw_t90(column[3], table, layers)
        column[0].axhline(0, color="0.3", linewidth=0.4)
        others = [one for other, one in snapshots.items() if other.startswith(f"{name}{SEED}")]
        title = f"{look_of(objective_of(name)).title} ({name})\n{relation_text(table, others)}"
        column[0].set_title(title, size=SMALL)
    for row, title in zip(grid, ROWS, strict=True):
        row[0].set_ylabel(title)
    for row in grid[1:3]:
        highest = max(axes.get_ylim()[1] for axes in row)
        for axes in row:
            # Room for the numbers above the lines.
            axes.set_ylim(0, 1.2 * highest)
    _add_scale(figure, grid)
    return figure


def relation_text(table: xr.Dataset, others: Sequence[xr.Dataset] = ()) -> str:
    """Correlation of loss change and change, its null and its p-value; below, that of other seeds.

    Parameters
    ----------
    table : xr.Dataset
        over_training/<model>.nc.
    others : sequence of xr.Dataset
        The same of other seeds.
    """
    found = relation_of(table)
    if found is None:
        return "too few intervals to relate them"
    low, high = found.null.min(), found.null.max()
    text = f"r = {found.correlation:.2f}, shifted {low:.2f} to {high:.2f}, p = {found.p_value:.2f}"
    relations = [relation_of(other) for other in others]
    values = ", ".join(f"{one.correlation:.2f}" for one in relations if one is not None)
    return f"{text}\nother seeds: r = {values}" if values else text


def _note_scale(axes: Axes, floor: xr.DataArray, pairs: Sequence[xr.Dataset]) -> None:
    """Floor and distance of seeds as numbers: as lines they would press all others together."""
    text = f"floor {float(floor.mean()):.2f}"
    if pairs:
        # Layer 0 is the embedding.
        distances = [1 - float(pair["svcca"].isel(depth=slice(1, None)).mean()) for pair in pairs]
        text += f"\nother seed {np.mean(distances):.2f}"
    axes.text(0.03, 0.97, text, transform=axes.transAxes, va="top", size=SMALL, color="0.4")
    axes.set_ylim(bottom=0)


def _name_updates(column, table: xr.Dataset) -> None:
    """The same axis for the three panels over training."""
    updates = table["snapshot"].values.tolist()
    # "2.108k" would run into its neighbours.
    names = [count_text(one if one < 1_000 else int(float(f"{one:.2g}"))) for one in updates]
    for axes in column[:3]:
        axes.set_xlim(-0.3, len(updates) - 0.7)
        axes.set_xticks(range(len(updates)), names, size=SMALL - 0.5)
    column[2].set_xlabel("update (end of the interval)")


def _draw_t90(axes: Axes, table: xr.Dataset, layers: list[str]) -> None:
    """When 90 % of a layer's loss change, and of the way that its states go, are reached."""
    times = table["interval"].values / table["interval"].values[-1]
    lowered = table["loss_change"].sel(part="layer").transpose("interval", "inner_layer").values
    change = table["change"].sel(layer=layers).transpose("interval", "layer").values
    x = np.arange(1, len(layers) + 1)
    axes.plot(x, t90(lowered, times), "o-", color="0.1", markersize=2, label="loss change")
    axes.plot(x, t90(change, times), "s--", color="0.5", markersize=2, label="change of states")
    axes.set_ylim(0, 1.05)
    axes.set_xlabel("layer")
    layer_ticks(axes.xaxis, len(layers))
    axes.legend(fontsize=SMALL)


def _add_scale(figure, grid) -> None:
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.92, 64))
    scale = matplotlib.cm.ScalarMappable(
        matplotlib.colors.Normalize(0, 1), matplotlib.colors.ListedColormap(colours)
    )
    bar = figure.colorbar(scale, ax=grid, fraction=0.015, aspect=60, pad=0.01)
    bar.set_ticks([0, 1], labels=["first\nlayer", "last\nlayer"])
    bar.outline.set_linewidth(0.5)
