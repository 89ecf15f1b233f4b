"""Figure S8: how often words find themselves in another model, before and after alignment."""

from __future__ import annotations

from matplotlib.lines import Line2D

from losschange.plots.style import SMALL, draw_message, look_of, new_figure

from ..drawing import (
    SEED,
    draw_line,
    draw_scale,
    floor_entry,
    objective_of,
    open_spaces,
    scale_entries,
)

TITLES = {"cosine": "nearest by cosine", "csls": "nearest by CSLS"}
COLOURS = {"before": "#E69F00", "after": "#0072B2"}


def draw(inputs, options):
    """A column per pair of objectives, a row per way to search."""
    pairs = open_spaces(path for path in inputs["objectives"] if SEED not in path.stem)
    if not pairs:
        return draw_message("Figure S8 has nothing to show: it compares at least two main models.")
    figure = new_figure(3.2)
    grid = figure.subplots(len(TITLES), len(pairs), squeeze=False, sharey=True, sharex=True)
    for row, (method, title) in zip(grid, TITLES.items(), strict=True):
        for axes, (name, table) in zip(row, pairs.items(), strict=True):
            one = table.sel({"method": method})  # as a keyword it means something else
            for stage, colour in COLOURS.items():
                draw_line(axes, one["depth"].values, one, "retrieval", colour, stage=stage)
            draw_scale(axes, inputs, "retrieval", method=method, stage="after")
            if method == "cosine":
                names = [look_of(objective_of(part)).title for part in name.split("+")]
                axes.set_title(f"{' and '.join(names)}\n({name.replace('+', ', ')})")
        row[0].set_ylabel(f"share of words found\n{title}")
    # All panels share the axis, so this comes after the last line.
    grid[0, 0].set_ylim(bottom=0)
    figure.supxlabel("share of the depth", size=7)
    handles = [Line2D([], [], color=c, label=f"{stage} alignment") for stage, c in COLOURS.items()]
    handles += [floor_entry(), *scale_entries(inputs)]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, fontsize=SMALL)
    return figure
