"""Figure N1: the bars of Figure 1, each cut into loss change, curvature and noise."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from losschange.analysis.noise import PARTS
from losschange.analysis.profiles import LAYER_COMPONENTS
from losschange.plots.style import (
    CONTRIBUTION,
    TITLES,
    draw_message,
    layer_ticks,
    look_of,
    mark_border,
    new_figure,
    value_format,
)
from studies.noise.records import (
    Records,
    both,
    encoder_layers,
    layer_contributions,
    read_records,
)

from .looks import PART_COLOURS

EMBEDDING = "embedding"


def draw_cut_bars(records: Records) -> Figure:
    """A row per model: a panel per component, and the profiles of the parts over the layers."""
    models = records.models()
    names = [EMBEDDING, *LAYER_COMPONENTS]
    figure = new_figure(1.35 * len(models) + 0.6)
    widths = [0.28, *[1.0] * len(LAYER_COMPONENTS), 1.5]
    grid = figure.subplots(len(models), len(widths), squeeze=False, width_ratios=widths)
    for row, model in zip(grid, models, strict=True):
        record = records.trainings[model]
        for axes, name in zip(row, names):
            _draw_bars(axes, record, name)
        _draw_profiles(row[-1], record)
        for axes in row[1:]:
            mark_border(axes, encoder_layers(record))
        look = look_of(str(record.attrs["objective"]))
        row[0].set_ylabel(f"{look.title}\n{model}", weight="bold")
    for axes, title in zip(grid[0], [*(TITLES[name] for name in names), "profiles"]):
        axes.set_title(title)
    for row in grid:
        row[0].set_xticks([])
    handles = [
        grid[0, 0].bar([0], [0], color=colour, label=part) for part, colour in PART_COLOURS.items()
    ]
    handles += grid[0, -1].plot([], [], color="black", marker="o", markersize=2, label="batch")
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    figure.supylabel(CONTRIBUTION, size=7)
    return figure


def _draw_bars(axes: Axes, record: xr.Dataset, name: str) -> None:
    """Parts that lowered the loss are stacked upwards, the others downwards."""
    above = below = 0.0
    for part, colour in PART_COLOURS.items():
        values = _contributions(record, part, name)[0]
        at = np.arange(1, len(values) + 1)
        start = np.where(values > 0, above, below)
        axes.bar(at, values, bottom=start, width=0.8, color=colour, linewidth=0)
        above = above + np.maximum(values, 0)
        below = below + np.minimum(values, 0)
    noise = _contributions(record, "noise", name)
    whole = _contributions(record, "batch", name)[0]
    low, high = np.percentile(noise[1:], (2.5, 97.5), axis=0)
    # The interval of the noise, at the end of the bar.
    ends = whole - noise[0]
    axes.vlines(at, ends + low, ends + high, color="0.1", linewidth=0.5)
    axes.axhline(0, color="0.3", linewidth=0.5)
    value_format(axes, 3)
    axes.set_xlim(0.3, len(at) + 0.7)
    if name != EMBEDDING:
        layer_ticks(axes.xaxis, len(at))


def _draw_profiles(axes: Axes, record: xr.Dataset) -> None:
    """Shares of the layers in the sum of every part, all six components together."""
    for term in ("batch", *PARTS):
        values = np.sum(
            [layer_contributions(record, term, name) for name in LAYER_COMPONENTS], axis=0
        )
        with np.errstate(invalid="ignore"):  # a part may be nothing at all
            shares = values / values.sum(axis=1, keepdims=True)
        at = np.arange(1, shares.shape[1] + 1)
        colour = PART_COLOURS.get(term, "black")
        axes.plot(at, shares[0], color=colour, marker="o", markersize=2, linewidth=0.8)
        if term in ("measured", "noise"):
            low, high = np.percentile(shares[1:], (2.5, 97.5), axis=0)
            axes.fill_between(at, low, high, color=colour, alpha=0.25, linewidth=0)
    # Shares of a part that sums to nearly nothing would hide the others.
    axes.set_ylim(-0.15, 0.45)
    layer_ticks(axes.xaxis, len(at))


def _contributions(record: xr.Dataset, term: str, name: str) -> np.ndarray:
    if name != EMBEDDING:
        return layer_contributions(record, term, name)
    return -both(record, term).sel(component=name).sum("layer").values[:, None]


def draw(inputs, options) -> Figure:
    """The figure of a run."""
    records = read_records(inputs["records"], options["vocabulary"])
    if not records.models():
        return draw_message("Figure N1 has nothing to show: this run trains none of noise.models.")
    return draw_cut_bars(records)
