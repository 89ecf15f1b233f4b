"""Figure Z3: cumulative contribution of every layer; train and test."""

from __future__ import annotations

from losschange.plots.style import SMALL

from ..drawing import (
    TEST,
    TRAIN,
    draw_curves,
    group_colours,
    name_lines,
    no_models,
    not_recorded,
    panels,
)
from ..groups import DECODER, ENCODER
from ..models import train_and_test
from ..profiles import PER_PARAMETER, cumulative, read


def draw(inputs, options):
    """One row per training; encoder and decoder, train and test."""
    summaries = inputs["summaries"]
    if not summaries:
        return no_models("Z3")
    columns = [(kind, text) for kind in (ENCODER, DECODER) for text in (TRAIN, TEST)]
    figure, grid = panels(summaries, [f"{kind}, {text}" for kind, text in columns])
    for row, summary in zip(grid, summaries, strict=True):
        shown = train_and_test(summary)
        for axes, (kind, text) in zip(row, columns, strict=True):
            if text not in shown:
                not_recorded(axes)
                continue
            curves = cumulative(summary, shown[text])
            groups = curves.groups
            values = read(curves.values, groups, PER_PARAMETER)
            lines = {groups.names[place]: values[:, place] for place in groups.of_kind(kind)}
            draw_curves(axes, curves.updates, lines, group_colours(groups))
            axes.set_xlabel(shown[text], size=SMALL)
    name_lines(
        figure,
        grid.flat,
        "updates; nats per parameter. The layers of a stack are equally large, so sums look alike",
    )
    return figure
