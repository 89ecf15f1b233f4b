"""Figure Z4: contribution of every group in intervals of equally many updates."""

from __future__ import annotations

import numpy as np

from losschange.plots.style import SMALL, value_format

from ..drawing import UNITS, no_models, panels
from ..groups import groups_of
from ..models import train_and_test
from ..profiles import READINGS, intervals, read

INTERVALS = 10


def draw(inputs, options):
    """Two trainings beside each other; a column of the map is an interval, a row a group."""
    summaries = inputs["summaries"]
    if not summaries:
        return no_models("Z4")
    figure, grid = panels(
        summaries, [UNITS[reading] for reading in READINGS], height=2.2, abreast=2
    )
    for row, summary in zip(grid, summaries, strict=True):
        groups = groups_of(summary)
        sums = intervals(summary, train_and_test(summary)["train"], INTERVALS)
        for axes, reading in zip(row, READINGS, strict=True):
            values = read(sums, groups, reading).T
            most = np.abs(values).max() or 1.0
            image = axes.imshow(values, cmap="RdBu", vmin=-most, vmax=most, aspect="auto")
            axes.set_yticks(range(len(groups.names)), groups.names, size=SMALL)
            shown = [0, INTERVALS // 2 - 1, INTERVALS - 1]
            axes.set_xticks(shown, [place + 1 for place in shown], size=SMALL)
            axes.grid(False)
            bar = figure.colorbar(image, ax=axes, pad=0.01)
            value_format(bar.ax)
    figure.supxlabel(
        f"interval of training, {INTERVALS} of equally many updates; blue: the loss fell", size=7
    )
    return figure
