"""Figure S6: what the nearest words of other sentences share with a word."""

from __future__ import annotations

from losschange.plots.style import draw_message, new_figure

from ..drawing import add_legend, draw_by_depth, open_spaces

PANELS = {
    "neighbours_same_type": "same word",
    "neighbours_same_left": "same left neighbour",
    "neighbours_same_right": "same right neighbour",
    # Where the parts of speech of the text are known.
    "neighbours_same_tag": "same part of speech",
    "neighbours_position_distance": "distance in position\n(words)",
}


def draw(inputs, options):
    """A panel per thing shared, a line per model."""
    spaces = open_spaces(inputs["spaces"])
    if not spaces:
        return draw_message("Figure S6 has nothing to show: this run has no main model.")
    panels = {name: title for name, title in PANELS.items() if name in next(iter(spaces.values()))}
    figure = new_figure(2.1)
    row = figure.subplots(1, len(panels))
    for axes, (name, title) in zip(row, panels.items(), strict=True):
        draw_by_depth(axes, spaces, name, title)
        axes.set_ylim(bottom=0)
    row[0].set_ylabel("share of nearest words")
    figure.supxlabel("share of the depth", size=7)
    add_legend(figure, spaces)
    return figure
