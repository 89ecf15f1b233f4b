"""Parts that several figures of the study share."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from losschange.plots.style import SMALL, layer_ticks, look_of

COLOURS = {"positional": "#0072B2", "rare": "#E69F00", "syntactic": "#009E73"}
NO_FUNCTION = "0.75"
TYPE_COLOURS = {"encoder": "#0072B2", "decoder": "#D55E00", "cross": "#009E73"}


def draw_map(axes: Axes, values: np.ndarray, marked: np.ndarray | None = None, **limits: Any):
    """A heat map of layers (across) and heads (upwards); marked heads get a dot.

    Parameters
    ----------
    axes : Axes
    values : array (layers, heads)
    marked : bool array (layers, heads), optional
    limits
        vmin, vmax and cmap of imshow.
    """
    layers, heads = values.shape
    image = axes.imshow(
        values.T,
        aspect="auto",
        interpolation="nearest",
        origin="lower",
        extent=(0.5, layers + 0.5, 0.5, heads + 0.5),
        **{"cmap": "viridis", **limits},
    )
    axes.grid(False)
    axes.spines[:].set_visible(True)
    layer_ticks(axes.xaxis, layers)
    axes.yaxis.set_ticks([1, heads])
    if marked is not None:
        at = np.argwhere(marked)
        axes.plot(
            at[:, 0] + 1,
            at[:, 1] + 1,
            "o",
            color="white",
            markeredgecolor="black",
            markersize=3,
            markeredgewidth=0.6,
        )
    return image


def say(axes: Axes, sentence: str) -> None:
    """An empty panel with a sentence in it."""
    axes.set_axis_off()
    axes.text(
        0.5,
        0.5,
        sentence,
        ha="center",
        va="center",
        size=SMALL,
        wrap=True,
        transform=axes.transAxes,
    )


def row_label(axes: Axes, panel: Any, label: str = "head") -> None:
    """The name of a panel's heads at the left of a row."""
    title = look_of(panel.objective).title
    axes.set_ylabel(f"{title}: {panel.title.replace(', ', chr(10))}\n{label}", size=SMALL)
