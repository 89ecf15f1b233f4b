"""Figure Z2: cumulative contributions of the word matrices, and of all layers of each stack."""

from __future__ import annotations

from losschange.plots.style import SMALL

from ..drawing import (
    TEST,
    TRAIN,
    UNITS,
    WORD_COLOURS,
    draw_curves,
    name_lines,
    no_models,
    not_recorded,
    panels,
)
from ..groups import DECODER, ENCODER, WORDS
from ..models import train_and_test
from ..profiles import PER_PARAMETER, READINGS, cumulative


def draw(inputs, options):
    """One row per training; train and test under both readings."""
    summaries = inputs["summaries"]
    if not summaries:
        return no_models("Z2")
    columns = [(reading, text) for reading in READINGS for text in (TRAIN, TEST)]
    titles = [f"{text}, {UNITS[reading]}" for reading, text in columns]
    figure, grid = panels(summaries, titles)
    for row, summary in zip(grid, summaries, strict=True):
        shown = train_and_test(summary)
        for axes, (reading, text) in zip(row, columns, strict=True):
            if text not in shown:
                not_recorded(axes)
                continue
            curves = cumulative(summary, shown[text])
            draw_curves(axes, curves.updates, joined(curves, reading), WORD_COLOURS)
            axes.set_xlabel(shown[text], size=SMALL)
    name_lines(figure, grid.flat, "updates; below a panel: its estimator")
    return figure


def joined(curves, reading):
    """Cumulative contributions by name: of every word matrix, and of each stack as a whole."""
    groups = curves.groups
    members = {groups.names[place]: [place] for place in groups.of_kind(WORDS)}
    members |= {"en_dense": groups.of_kind(ENCODER), "de_dense": groups.of_kind(DECODER)}
    found = {}
    for name, places in members.items():
        size = groups.parameters[places].sum() if reading == PER_PARAMETER else 1.0
        found[name] = curves.values[:, places].sum(axis=1) / size
    return found
