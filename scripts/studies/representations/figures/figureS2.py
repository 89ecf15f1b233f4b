"""Figure S2: contextuality, how far the state of a word depends on its sentence."""

from __future__ import annotations

from losschange.plots.style import draw_message, new_figure

from ..drawing import add_legend, draw_by_depth, open_spaces

PANELS = {
    "self_similarity": "self-similarity",
    "self_similarity_corrected": "less average similarity",
    "intra_similarity": "intra-sentence similarity",
    "intra_similarity_corrected": "less average similarity",
    "intra_similarity_leave_one_out": "word and the others' mean",
}


def draw(inputs, options):
    """A panel per measure, a line per model."""
    spaces = open_spaces(inputs["spaces"])
    if not spaces:
        return draw_message("Figure S2 has nothing to show: this run has no main model.")
    figure = new_figure(2.1)
    row = figure.subplots(1, len(PANELS), sharey=True)
    for axes, (name, title) in zip(row, PANELS.items(), strict=True):
        draw_by_depth(axes, spaces, name, title)
    row[0].set_ylabel("cosine")
    figure.supxlabel("share of the depth", size=7)
    add_legend(figure, spaces)
    return figure
