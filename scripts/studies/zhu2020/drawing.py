"""What the study's figures share: a row per model, colours of groups, and small panels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from losschange.plots.style import SMALL, count_format, draw_message, new_figure, value_format

from .groups import DECODER, ENCODER, Groups
from .profiles import PER_PARAMETER

PAGE_HEIGHT = 9.0  # inches that a page leaves to the rows
UNITS = {PER_PARAMETER: "nats per parameter", "sum": "nats"}
WORD_COLOURS = {
    "en_emb": "#0072B2",
    "emb": "#0072B2",
    "de_emb": "#009E73",
    "de_softmax": "#D55E00",
    "en_dense": "#56B4E9",
    "de_dense": "#E69F00",
}
TRAIN, TEST = "train", "test"


def no_models(number: str) -> Figure:
    """The page of a run without translation models."""
    return draw_message(f"Figure {number} has nothing to show: this run has no translation model.")


def panels(
    summaries: Sequence[xr.Dataset], titles: Sequence[str], height: float = 1.35, abreast: int = 1
) -> tuple[Figure, np.ndarray]:
    """A figure with a panel per title for each model.

    Parameters
    ----------
    summaries : sequence of Dataset
    titles : sequence of str
    height : float
        Of a row, in inches; less where that would not fit on a page.
    abreast : int
        Models beside each other in a row.

    Returns
    -------
    (figure, array of Axes (models, titles))
    """
    rows = -(-len(summaries) // abreast)
    height = min(height, PAGE_HEIGHT / rows)
    figure = new_figure(height * rows + 0.6)
    grid = figure.subplots(rows, abreast * len(titles), squeeze=False)
    for axes, title in zip(grid[0], list(titles) * abreast, strict=True):
        # On the left: a power of ten may stand above the right end.
        axes.set_title(title, loc="left" if abreast > 1 else "center")
    grid = grid.reshape(rows * abreast, len(titles))
    for axes in grid[len(summaries) :].flat:
        axes.remove()
    grid = grid[: len(summaries)]
    for row, summary in zip(grid, summaries, strict=True):
        name = str(summary.attrs["model"])
        row[0].set_ylabel(name.replace(".", "\n"), size=SMALL, weight="bold")
    return figure, grid


def group_colours(groups: Groups) -> dict[str, object]:
    """A colour per group: from light to dark within encoder and decoder."""
    found: dict[str, object] = {
        name: WORD_COLOURS[name] for name in groups.names if name in WORD_COLOURS
    }
    for kind, palette in ((ENCODER, "Blues"), (DECODER, "Oranges")):
        places = groups.of_kind(kind)
        shades = matplotlib.colormaps[palette](np.linspace(0.35, 1.0, max(len(places), 1)))
        found |= {groups.names[place]: tuple(shade) for place, shade in zip(places, shades)}
    return found


def draw_curves(
    axes: Axes, updates: np.ndarray, curves: Mapping[str, np.ndarray], colours: Mapping[str, object]
) -> None:
    """Lines over updates, named in the legend."""
    for name, values in curves.items():
        axes.plot(updates, values, color=colours[name], label=name)
    axes.axhline(0, color="0.4", linewidth=0.4)
    count_format(axes.xaxis, most=3)
    value_format(axes)


def not_recorded(axes: Axes) -> None:
    """A panel without data says so."""
    axes.text(0.5, 0.5, "not recorded", ha="center", size=SMALL, transform=axes.transAxes)
    axes.grid(False)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def name_lines(figure: Figure, grid: Iterable[Axes], below: str) -> None:
    """One legend for all panels, and a line of text below them."""
    found: dict[str, Artist] = {}
    for axes in grid:
        found |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    figure.legend(
        list(found.values()), list(found), loc="outside upper center", ncols=7, fontsize=SMALL
    )
    figure.supxlabel(below, size=7)
