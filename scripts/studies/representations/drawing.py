"""Panels that several figures of the study share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from losschange.plots.style import SMALL, look_of

FLOOR_DASH = (0, (1, 1.2))
SEED = ".seed"
# What differs in little gives the scale of the distances between objectives.
SCALE_COLOUR = "0.45"
SCALE_DASHES: dict[str, Literal["--", "-"]] = {"languages": "--", "seeds": "-"}


def open_spaces(paths: Iterable[Path]) -> dict[str, xr.Dataset]:
    """Tables by the name of their training."""
    return {path.stem: xr.load_dataset(path) for path in paths}


def objective_of(training: str) -> str:
    """Objective of a training or model."""
    return training.partition("-")[0]


def layers_of(table: xr.Dataset) -> list[str]:
    """Layers 0 to N; variants of the first and the last one are left out."""
    return [str(name) for name in table["layer"].values if str(name).isdigit()]


def depth_of(layers: Sequence[str]) -> np.ndarray:
    """Share of the stack below each of the layers 0 to N."""
    return np.linspace(0, 1, len(layers))


def draw_line(
    axes: Axes,
    x: np.ndarray,
    table: xr.Dataset,
    name: str,
    colour: Any,
    dash: Any = "-",
    floor: bool = True,
    **place: object,
) -> None:
    """A measure as a line with the band of its interval, and its floor as a dotted line.

    Parameters
    ----------
    axes : Axes
    x : array (entries,)
    table : xr.Dataset
        With the variables <name>, <name>_floor, <name>_low and <name>_high.
    name : str
    colour, dash : of matplotlib
    floor : bool
        Whether the floor is drawn.
    place : of xr.DataArray.sel
    """
    value, low, high, bottom = (
        table[name + ending].sel(place).values for ending in ("", "_low", "_high", "_floor")
    )
    axes.plot(x, value, color=colour, linestyle=dash, marker="o", markersize=1.8)
    axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    if floor:
        axes.plot(x, bottom, color=colour, linestyle=FLOOR_DASH, linewidth=0.7)


def draw_by_depth(axes: Axes, spaces: dict[str, xr.Dataset], name: str, title: str) -> None:
    """A measure of several models over the share of their depth; other seeds without bands."""
    for training, table in spaces.items():
        layers, look = layers_of(table), look_of(objective_of(training))
        if SEED in training:
            values = table[name].sel(layer=layers)
            axes.plot(depth_of(layers), values, color=look.colour, linewidth=0.4)
        else:
            draw_line(axes, depth_of(layers), table, name, look.colour, look.dash, layer=layers)
    axes.set_title(title)
    axes.axhline(0, color="0.3", linewidth=0.4, zorder=1)
    axes.set_xlim(-0.03, 1.03)


def add_legend(figure: Figure, trainings: Iterable[str], further: Sequence[Line2D] = ()) -> None:
    """The models, the floor and other entries above the figure."""
    trainings = list(trainings)
    names = list(dict.fromkeys(name.partition(SEED)[0] for name in trainings))
    handles = []
    for name in names:
        look = look_of(objective_of(name))
        # A style is a name or a pattern of dashes; matplotlib's hints know only the names.
        dash: Any = look.dash
        label = f"{look.title} ({name})"
        handles.append(Line2D([], [], color=look.colour, linestyle=dash, label=label))
    handles += [floor_entry(), *further]
    if any(SEED in name for name in trainings):
        handles.append(Line2D([], [], color="0.4", linewidth=0.4, label="other seeds"))
    figure.legend(
        handles=handles, loc="outside upper center", ncols=len(handles), fontsize=SMALL + 0.5
    )


def draw_scale(
    axes: Axes, inputs: Mapping[str, Sequence[Path]], measure: str, **place: object
) -> None:
    """In grey, the measure of pairs that differ in the target language or the seed alone.

    Parameters
    ----------
    axes : Axes
        With the share of the depth as x.
    inputs : mapping of "languages" and "seeds" to paths of comparisons
    measure : str
    place : of xr.DataArray.sel
    """
    for kind, dash in SCALE_DASHES.items():
        for table in open_spaces(inputs[kind]).values():
            values = table[measure].sel(place)
            axes.plot(table["depth"], values, color=SCALE_COLOUR, linestyle=dash, linewidth=0.7)


def scale_entries(inputs: Mapping[str, Sequence[Path]]) -> list[Line2D]:
    """The legend's entries of draw_scale."""
    names = {
        "languages": ", ".join(path.stem.replace("+", " and ") for path in inputs["languages"]),
        "seeds": "other seed of the same model",
    }
    return [
        Line2D([], [], color=SCALE_COLOUR, linestyle=dash, linewidth=0.7, label=names[kind])
        for kind, dash in SCALE_DASHES.items()
        if inputs[kind]
    ]


def floor_entry() -> Line2D:
    """The legend's entry of floors."""
    return Line2D([], [], color="0.4", linestyle=FLOOR_DASH, linewidth=0.7, label="floor")
