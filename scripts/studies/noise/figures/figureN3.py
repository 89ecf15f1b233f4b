"""Figure N3: the gradient noise scale over training, of layers and of components."""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from losschange.analysis.profiles import INNER_STACKS, LAYER_COMPONENTS
from losschange.plots.style import TITLES, draw_message, look_of, new_figure
from studies.noise.records import Records, read_records

COLUMNS = {"layer": "layers", "component": "components"}
LEGENDS: dict[str, Literal["outside lower left", "outside lower right"]] = {
    "layer": "outside lower left",
    "component": "outside lower right",
}
COMPONENTS = ("embedding", *LAYER_COMPONENTS)


def draw_scales(records: Records) -> Figure:
    """A row per training with panels of layers and of components; black is the whole model."""
    models = shown_trainings(records)
    figure = new_figure(1.9 * len(models) + 0.4)
    grid = figure.subplots(len(models), len(COLUMNS), squeeze=False, sharex="row", sharey="row")
    for place, (row, model) in enumerate(zip(grid, models, strict=True)):
        record = records.trainings[model]
        for axes, axis in zip(row, COLUMNS, strict=True):
            for label, position, colour in _lines(record, axis):
                _draw_line(axes, record, f"{axis}_scale", {axis: position}, label, colour)
            _draw_line(axes, record, "scale", {}, "whole model", "black")
            axes.axhline(float(record["targets"][0]), color="0.4", linestyle=":", linewidth=0.8)
            axes.set_yscale("log")
            if place == 0:
                handles, labels = axes.get_legend_handles_labels()
                figure.legend(handles, labels, loc=LEGENDS[axis], ncols=5)
        look = look_of(str(record.attrs["objective"]))
        row[0].set_ylabel(f"{look.title}\n{model}")
    for axes, title in zip(grid[0], COLUMNS.values(), strict=True):
        axes.set_title(title)
    for axes in grid[-1]:
        axes.set_xlabel("update")
    figure.supylabel("noise scale (target tokens)", size=7)
    return figure


def shown_trainings(records: Records) -> list[str]:
    """The models, and the training whose estimators look at every update."""
    return [
        name
        for name, record in records.trainings.items()
        if "scale" in record and (name in records.models() or "thinned" in record)
    ]


def _lines(record: xr.Dataset, axis: str) -> list[tuple[str, int, object]]:
    """Label, position and colour of every line of a panel."""
    if axis == "component":
        names = [str(name) for name in record["component"].values]
        places = [(TITLES[name], names.index(name)) for name in COMPONENTS if name in names]
        shades = colormaps["tab10"](np.arange(len(places)))
    else:
        inside = np.flatnonzero(np.isin(record["stack"].values.astype(str), INNER_STACKS))
        places = [(str(number), int(place)) for number, place in enumerate(inside, start=1)]
        shades = colormaps["viridis"](np.linspace(0, 0.9, len(places)))
    return [(label, place, shade) for (label, place), shade in zip(places, shades, strict=True)]


def _draw_line(axes: Axes, record: xr.Dataset, name: str, place: dict, label: str, colour) -> None:
    """One noise scale over the windows; an interval is drawn of the whole model's alone."""
    over = record.isel(window=slice(1, None), **place)
    at = (over["window_first"].values + over["window_last"].values) / 2
    whole = name == "scale"
    axes.plot(
        at, over[name].values, color=colour, marker="o", markersize=2.5 if whole else 1.5,
        linewidth=1.4 if whole else 0.7, label=label, zorder=3 if whole else 2,
    )  # fmt: skip
    if whole:
        axes.vlines(at, over[f"{name}_low"], over[f"{name}_high"], color=colour, linewidth=0.8)


def draw(inputs, options) -> Figure:
    """The figure of a run."""
    records = read_records(inputs["records"], options["vocabulary"])
    if not shown_trainings(records):
        return draw_message(
            "Figure N3 has nothing to show: no model of noise.models was trained in this run, or "
            "none was recorded with a fresh gradient."
        )
    return draw_scales(records)
