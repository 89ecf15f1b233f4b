"""Figure S1: isotropy, the cosines and Euclidean distances of random pairs of words by layer."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from losschange.plots.style import draw_message, look_of, new_figure

from ..drawing import FLOOR_DASH, SEED, add_legend, objective_of, open_spaces

MATCHED = ".matched"
ROWS = {"cosine": "cosine", "euclid": "Euclidean distance\n(lower line: norm)"}


def draw(inputs, options):
    """A column per main model; above the cosines, below the distances and norms."""
    spaces = open_spaces(inputs["spaces"])
    shown = [name for name in spaces if MATCHED not in name and SEED not in name]
    if not shown:
        return draw_message("Figure S1 has nothing to show: this run has no main model.")
    figure = new_figure(3.4)
    grid = figure.subplots(2, len(shown), squeeze=False)
    for name, column in zip(shown, grid.T, strict=True):
        colour = look_of(objective_of(name)).colour
        _draw_cosines(column[0], spaces[name], colour, spaces.get(f"{name}{MATCHED}"))
        for other in spaces:
            if other.startswith(f"{name}{SEED}"):
                column[0].plot(spaces[other]["average_similarity"], color=colour, linewidth=0.4)
        _draw_distances(column[1], spaces[name], colour)
        column[0].set_title(f"{look_of(objective_of(name)).title} ({name})")
        for axes in column:
            _name_layers(axes, spaces[name])
    for row, title in zip(grid, ROWS.values(), strict=True):
        row[0].set_ylabel(title)
        low = min(axes.get_ylim()[0] for axes in row)
        high = max(axes.get_ylim()[1] for axes in row)
        for axes in row if title == ROWS["cosine"] else ():
            axes.set_ylim(low, high)
    further = [
        Line2D([], [], color="0.4", marker="o", markersize=2.5, label="mean of all pairs (AvgSim)")
    ]
    if any(MATCHED in name for name in spaces):
        further.append(
            Line2D([], [], color="0.2", linestyle="--", linewidth=0.7, label="matched: AvgSim")
        )
    main = [name for name in spaces if MATCHED not in name]
    add_legend(figure, main, further)
    return figure


def _draw_cosines(axes: Axes, table: xr.Dataset, colour: str, matched: xr.Dataset | None) -> None:
    _draw_bands(axes, table["cosine_quantiles"].values, colour)
    x = np.arange(table.sizes["layer"])
    mean = table["average_similarity"].values
    ends = (mean - table["average_similarity_low"], table["average_similarity_high"] - mean)
    axes.errorbar(x, mean, ends, color=colour, marker="o", markersize=2.5, linewidth=0.9)
    axes.plot(x, table["average_similarity_floor"], color=colour, linestyle=FLOOR_DASH)
    if matched is not None:
        common = matched["average_similarity"].reindex(layer=table["layer"].values)
        axes.plot(x, common, color="0.2", linestyle="--", linewidth=0.7)
    axes.axhline(0, color="0.3", linewidth=0.4)


def _draw_distances(axes: Axes, table: xr.Dataset, colour: str) -> None:
    _draw_bands(axes, table["euclid_quantiles"].values, colour)
    median = table["norm_quantiles"].sel(quantile=0.5)
    axes.plot(np.arange(table.sizes["layer"]), median, color="0.3", linewidth=0.8)
    axes.set_ylim(bottom=0)


def _draw_bands(axes: Axes, quantiles: np.ndarray, colour: str) -> None:
    """The middle 90 and 50 % of the pairs and their median."""
    x = np.arange(len(quantiles))
    axes.fill_between(x, quantiles[:, 0], quantiles[:, -1], color=colour, alpha=0.15, linewidth=0)
    axes.fill_between(x, quantiles[:, 1], quantiles[:, -2], color=colour, alpha=0.25, linewidth=0)
    axes.plot(x, quantiles[:, 2], color=colour, linewidth=0.5)


def _name_layers(axes: Axes, table: xr.Dataset) -> None:
    names = [str(name) for name in table["layer"].values]
    short = {"0 without positions": "no\npos.", "norm": "\nnorm"}
    shown = [place for place, name in enumerate(names) if not name.isdigit() or not int(name) % 2]
    axes.set_xticks(shown, [short.get(names[place], names[place]) for place in shown])
    axes.set_xlabel("layer")
