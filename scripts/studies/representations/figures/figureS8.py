"""Figure S8: how often words find themselves in another model, before and after alignment."""

from __future__ import annotations

import xarray as xr
from matplotlib.lines import Line2D

from losschange.plots.style import SMALL, draw_message, look_of, new_figure

from ..drawing import draw_line, floor_entry, objective_of

TITLES = {"cosine": "nearest by cosine", "csls": "nearest by CSLS"}
COLOURS = {"before": "0.5", "after": "#0072B2"}


def draw(inputs, options):
    """A column per pair of objectives, a row per way to search."""
    pairs = {
        path.stem: xr.load_dataset(path)
        for path in inputs["objectives"]
        if ".seed" not in path.stem
    }
    if not pairs:
        return draw_message("Figure S8 has nothing to show: it compares at least two main models.")
    figure = new_figure(3.2)
    grid = figure.subplots(len(TITLES), len(pairs), squeeze=False, sharey=True, sharex=True)
    for row, (method, title) in zip(grid, TITLES.items(), strict=True):
        for axes, (name, table) in zip(row, pairs.items(), strict=True):
            one = table.sel({"method": method})  # as a keyword it means something else
            for stage, colour in COLOURS.items():
                draw_line(axes, one["depth"].values, one, "retrieval", colour, stage=stage)
            axes.set_ylim(bottom=0)
            if method == "cosine":
                names = [look_of(objective_of(part)).title for part in name.split("+")]
                axes.set_title(f"{' and '.join(names)}\n({name.replace('+', ', ')})")
        row[0].set_ylabel(f"share of words found\n{title}")
    figure.supxlabel("share of the depth", size=7)
    handles = [Line2D([], [], color=c, label=f"{stage} alignment") for stage, c in COLOURS.items()]
    figure.legend(
        handles=[*handles, floor_entry()], loc="outside upper center", ncols=3, fontsize=SMALL + 0.5
    )
    return figure
