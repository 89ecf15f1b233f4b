"""Figure R: shares of the layers in the loss change on several texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from losschange.analysis.text_profiles import GROUPS, TextProfile

from .style import SMALL, layer_ticks, mark_border, new_figure, value_format

# Okabe and Ito's palette; markers also identify the texts.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "v", "D", "P", "X")


@dataclass(frozen=True)
class TextRow:
    """One model: its profile on every text, and the number of encoder layers before a decoder."""

    model: str
    profiles: Mapping[str, TextProfile]
    border: int | None


def draw_text_shares(rows: Sequence[TextRow]) -> Figure:
    """A row per model with panels of attention and feed-forward; a line of markers per text.

    Parameters
    ----------
    rows : sequence of TextRow
        Not empty.
    """
    texts = list(dict.fromkeys(text for row in rows for text in row.profiles))
    looks = {
        text: {"color": COLOURS[n % len(COLOURS)], "marker": MARKERS[n % len(MARKERS)]}
        for n, text in enumerate(texts)
    }
    figure = new_figure(1.6 * len(rows) + 0.5)
    grid = figure.subplots(len(rows), len(GROUPS), squeeze=False)
    for axes_row, row in zip(grid, rows, strict=True):
        for axes, group in zip(axes_row, GROUPS, strict=True):
            for place, (text, profile) in enumerate(row.profiles.items()):
                values = profile.shares[group]
                shift = 0.5 * (place - (len(row.profiles) - 1) / 2) / len(row.profiles)
                at = np.arange(1, len(values.value) + 1) + shift
                colour = looks[text]["color"]
                axes.plot(at, values.value, markersize=2.5, linewidth=0.5, **looks[text])
                axes.vlines(at, values.low, values.high, color=colour, linewidth=0.6, alpha=0.6)
            layer_ticks(axes.xaxis, len(values.value))
            mark_border(axes, row.border)
            value_format(axes)
        axes_row[0].set_ylabel(f"{row.model}\nshare of the loss change")
    for axes, group in zip(grid[0], GROUPS, strict=True):
        axes.set_title(group)
    for axes in grid[-1]:
        axes.set_xlabel("layer")
    handles = [
        grid[0, 0].plot([], [], markersize=3, linewidth=0.5, label=text, **look)[0]
        for text, look in looks.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(texts), fontsize=SMALL)
    return figure
