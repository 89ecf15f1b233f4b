"""Figure S5: how much words change from layer to layer and influence others, by frequency."""

from __future__ import annotations

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.lines import Line2D

from losschange.plots.style import SMALL, draw_message, layer_ticks, look_of, new_figure

from ..drawing import SEED, draw_line, floor_entry, layers_of, objective_of, open_spaces

# Influences are thousandths of their floor; what is below this is shown at the lower edge.
LEAST = 1e-4
ROWS = {"change": "change\n(PWCCA distance)", "influence": "influence\n(PWCCA distance)"}


def draw(inputs, options):
    """A column per model, a line per frequency bin; from the most frequent words to the rarest."""
    spaces, hidden = open_spaces(inputs["spaces"]), open_spaces(inputs["hidden"])
    shown = [name for name in spaces if SEED not in name]
    if not shown:
        return draw_message("Figure S5 has nothing to show: this run has no main model.")
    figure = new_figure(3.4)
    grid = figure.subplots(2, len(shown), squeeze=False, sharey="row")
    bins = spaces[shown[0]].sizes["frequency_bin"]
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, bins))
    for column, name in zip(grid.T, shown, strict=True):
        layers = layers_of(spaces[name])[1:]
        x = np.array([int(layer) for layer in layers])
        for axes, (measure, table) in zip(
            column, (("change", spaces[name]), ("influence", hidden[name])), strict=True
        ):
            for place, colour in enumerate(colours):
                one = table.isel(frequency_bin=place)
                draw_line(axes, x, one, measure, colour, layer=layers)
                for other in _seeds_of(name, spaces if measure == "change" else hidden):
                    values = other[measure].isel(frequency_bin=place).sel(layer=layers)
                    axes.plot(x, values, color=colour, linewidth=0.4)
            layer_ticks(axes.xaxis, len(layers))
            axes.set_yscale("log")
            axes.set_ylim(LEAST, 1.3)
        column[0].set_title(f"{look_of(objective_of(name)).title} ({name})")
        column[1].set_xlabel("layer")
    for row, title in zip(grid, ROWS.values(), strict=True):
        row[0].set_ylabel(title)
    handles = [
        Line2D([], [], color=colour, label=f"fifth {place + 1}" + _end(place, bins))
        for place, colour in enumerate(colours)
    ]
    figure.legend(
        handles=[*handles, floor_entry()], loc="outside upper center", ncols=7, fontsize=SMALL
    )
    return figure


def _seeds_of(name: str, tables: dict[str, xr.Dataset]) -> list[xr.Dataset]:
    return [table for other, table in tables.items() if other.startswith(f"{name}{SEED}")]


def _end(place: int, bins: int) -> str:
    return {0: " (most frequent)", bins - 1: " (rarest)"}.get(place, "")
