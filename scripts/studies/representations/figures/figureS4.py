"""Figure S4: what the states know of the word that is read and of the word that is predicted."""

from __future__ import annotations

from losschange.plots.style import draw_message, new_figure

from ..drawing import add_legend, draw_by_depth, open_spaces

MASKED = {"masked_input_share": "the piece read", "masked_output_share": "the original word"}


def draw(inputs, options):
    """Input and next word of all models; masked words of the models that read masked text."""
    spaces, hidden = open_spaces(inputs["spaces"]), open_spaces(inputs["hidden"])
    if not spaces:
        return draw_message("Figure S4 has nothing to show: this run has no main model.")
    masked = {name: table for name, table in hidden.items() if "masked_input_share" in table}
    figure = new_figure(2.3)
    row = figure.subplots(1, 4 if masked else 2, sharey=True)
    draw_by_depth(row[0], spaces, "input_information_share", "the word read")
    draw_by_depth(row[1], spaces, "output_information_share", "the next word")
    for axes, (measure, title) in zip(row[2:], MASKED.items(), strict=False):
        draw_by_depth(axes, masked, measure, f"masked text: {title}")
    row[0].set_ylabel("information, share of the entropy")
    figure.supxlabel("share of the depth", size=7)
    add_legend(figure, spaces)
    return figure
