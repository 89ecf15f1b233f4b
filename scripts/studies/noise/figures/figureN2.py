"""Figure N2: over-count and noise per update against the batch, with the predicted slopes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from losschange.plots.style import draw_message, look_of, new_figure
from studies.noise.laws import SLOPES, slope
from studies.noise.records import (
    Records,
    interval,
    late_noise,
    late_targets,
    over_count,
    read_records,
)

from .looks import OPTIMIZER_TITLES, logarithmic


def _excess(record: xr.Dataset) -> np.ndarray:
    return over_count(record) - 1


def _batch(record: xr.Dataset) -> float:
    return float(record["targets"][0])


COLUMNS: tuple[tuple[str, Callable, Callable], ...] = (
    ("batch ÷ measured − 1", _excess, _batch),
    ("noise per update, second half (nats per token)", late_noise, late_targets),
)


def draw_laws(records: Records) -> Figure:
    """A row per optimizer; both axes are logarithmic, dashed lines have the predicted slope."""
    optimizers = [name for name in SLOPES if name in records.optimizers()]
    figure = new_figure(2.5 * len(optimizers) + 0.2)
    grid = figure.subplots(len(optimizers), len(COLUMNS), squeeze=False)
    for row, optimizer in zip(grid, optimizers, strict=True):
        for axes, (title, number, size) in zip(row, COLUMNS, strict=True):
            for model in records.models():
                _draw_ladder(axes, records.ladder(model, optimizer), model, number, size)
            _draw_slopes(axes, optimizer)
            logarithmic(axes, "x")
            logarithmic(axes, "y")
            axes.set_title(f"{OPTIMIZER_TITLES[optimizer]}: {title}")
        row[-1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    for axes in grid[-1]:
        axes.set_xlabel("target tokens per update, B")
    return figure


def _draw_ladder(
    axes: Axes, ladder: list[xr.Dataset], model: str, number: Callable, size: Callable
) -> None:
    """One model's batch sizes with intervals; the legend gives the fitted slope."""
    if not ladder:
        return
    look = look_of(str(ladder[0].attrs["objective"]))
    at = np.array([size(record) for record in ladder])
    value, low, high = np.array([interval(number(record)) for record in ladder]).T
    label = model
    if number is late_noise and len(ladder) > 1:
        label = f"{model}\nslope {_slope_text(ladder)}"
    axes.plot(at, value, color=look.colour, marker=look.marker, markersize=3.5, label=label)
    axes.vlines(at, low, high, color=look.colour, linewidth=1)


def _slope_text(ladder: list[xr.Dataset]) -> str:
    value, low, high = interval(slope(ladder))
    text = f"{value:.2f}" if np.isnan(low) else f"{value:.2f} [{low:.2f}, {high:.2f}]"
    return text.replace("-", "−")


def _draw_slopes(axes: Axes, optimizer: str) -> None:
    """Dashed lines with the predicted slope, through the middle of what is drawn."""
    if not axes.lines:
        return
    drawn = [(np.asarray(line.get_xdata()), np.asarray(line.get_ydata())) for line in axes.lines]
    for at, value in drawn:
        known = np.isfinite(value) & (value > 0)
        if known.sum() < 2:
            continue
        at, value = at[known], value[known]
        middle = np.exp(np.log(value).mean() - SLOPES[optimizer] * np.log(at).mean())
        axes.plot(at, middle * at ** SLOPES[optimizer], color="0.5", linestyle="--", linewidth=0.7)


def draw(inputs, options) -> Figure:
    """The figure of a run."""
    records = read_records(inputs["records"], options["vocabulary"])
    if not records.models():
        return draw_message("Figure N2 has nothing to show: this run trains none of noise.models.")
    return draw_laws(records)
