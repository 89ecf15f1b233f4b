"""The LCA cube: what it holds and how it is opened.

One NetCDF-4 file per model with the dimensions step x layer x component x head. It is the
interface between training and everything after it, so this module is the only place that
knows its names, units and attributes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr

from .estimators import Estimator, in_order, parse_estimator
from .layout import NO_HEAD, Cell, CubeError, CubeLayout

FORMAT_VERSION = 2
# Format 1 has the units "nats", estimators without the attributes `rule` and `text`, and encoded
# text for `stack` and `label`.
READABLE_VERSIONS = (1, 2)
CONVENTIONS = f"CF-1.10 LCA-cube-{FORMAT_VERSION}"
# All losses and LCA are nats per target token. UDUNITS, which CF's units are checked against, has
# no nat, so the unit is "1" and every long_name says nats.
NATS = "in nats per target token"
# What may stand beside the records of an estimator: axes after its steps, type, meaning.
CELL_AXES = ("layer", "component", "head")
DETAILS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "loss_before": ((), "f8", f"loss of the probe where the interval begins, {NATS}"),
    "loss": ((), "f8", f"loss of the probe at this step, where the interval ends, {NATS}"),
    "error": (
        (),
        "f8",
        f"sum of the interval's LCA less the measured change of the loss, {NATS}",
    ),
    "positive": (
        CELL_AXES,
        "f4",
        f"sum of the LCA of the parameters that raised the loss, {NATS}",
    ),
    "helped": (CELL_AXES, "f4", "share of the cell's parameters that lowered the loss"),
    "evaluations": ((), "f8", "evaluations of loss and gradient after the interval's start"),
    "vocabulary": (
        ("matrix", "frequency_bin"),
        "f4",
        f"LCA of the matrix rows of words, by frequency (Zhu et al. 2020, Figure 5), {NATS}",
    ),
}
_DETAIL_NAMES = {"positive": "lca_positive", "helped": "helped", "vocabulary": "lca_vocabulary"}

# Numbers of every update beside its LCA: their meaning.
SERIES = {
    "loss": f"mean training loss, {NATS}",
    "tokens": "target tokens in the update",
    "sample_size": "tokens that the loss was averaged over",
    "lr": "learning rate of the update",
    "grad_norm": "Euclidean norm of the mean gradient",
    "loss_scale": "factor that the loss was multiplied by in half precision",
}

# Learning rates of parameter groups, where there are several: "lr_AdamW_0" is that of the first
# group of AdamW. "lr" is the rate of the first group of the optimizer that stepped first.
RATE_PREFIX = "lr_"

STEPS_PER_CHUNK = 1000
_FORMAT_1_ESTIMATORS = ("batch", "fresh", "probe", "simpson", "probe_valid", "simpson_valid")


def detail_variable(detail: str, estimator: str) -> str:
    """Name of the variable that holds a detail of an estimator's records."""
    if detail in _DETAIL_NAMES:
        suffix = "" if estimator == "batch" else f"_{estimator}"
        return _DETAIL_NAMES[detail] + suffix
    return f"{estimator}_{detail}"


def rate_name(optimizer: str, group: int) -> str:
    """Name of the variable that holds the learning rate of a group of an optimizer.

    Parameters
    ----------
    optimizer : str
        Name of its class, with a number if there are several of the class.
    group : int
        From 0, as in `param_groups`.
    """
    return f"{RATE_PREFIX}{optimizer}_{group}"


def rates_of(dataset: xr.Dataset) -> list[str]:
    """Names of the learning rates of single groups in an open cube."""
    return [
        str(name)
        for name, variable in dataset.data_vars.items()
        if str(name).startswith(RATE_PREFIX) and variable.dims == ("step",)
    ]


def series_meaning(name: str) -> str:
    """What a number of every update means, for SERIES and for learning rates of groups."""
    if name in SERIES:
        return SERIES[name]
    optimizer, _, group = name.removeprefix(RATE_PREFIX).rpartition("_")
    return f"learning rate of group {group} of {optimizer}"


def details_of(dataset: xr.Dataset, estimator: str) -> list[str]:
    """Names of the DETAILS that an open cube holds of an estimator."""
    return [detail for detail in DETAILS if detail_variable(detail, estimator) in dataset]


def steps_of(dataset: xr.Dataset, estimator: str) -> np.ndarray:
    """Numbers of the updates (n,) at which an estimator was recorded."""
    axis = dataset[parse_estimator(estimator).variable].dims[0]
    return dataset[axis].values.astype(np.int64)


def open_cube(path: str | os.PathLike[str]) -> xr.Dataset:
    """Open a cube of any readable format lazily, and check that it is one.

    The names of layers and stacks come as text, whatever the format keeps them as.

    Raises
    ------
    CubeError
        If the file is no LCA cube or of another format version.
    FileNotFoundError
        If there is no such file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no cube at {path}")
    try:
        dataset = xr.open_dataset(path, engine="netcdf4", cache=False)
    except OSError as error:
        raise CubeError(
            f"{path} is not a readable NetCDF-4 file ({error}); give a cube (.nc), and if it was "
            "one, make it again"
        ) from None
    expected = {"step", "layer", "component", "head"}
    found = dataset.attrs.get("cube_format")
    if found not in READABLE_VERSIONS or not expected <= set(dataset.dims):
        dataset.close()
        raise CubeError(
            f"{path} is not an LCA cube of format {' or '.join(map(str, READABLE_VERSIONS))}: "
            f"found format {found} and dimensions {sorted(map(str, dataset.dims))}"
        )
    for name in ("stack", "label"):
        if dataset[name].dtype.kind == "S":
            dataset[name] = (dataset[name].dims, np.char.decode(dataset[name].values, "ascii"))
    return dataset


def layout_of(dataset: xr.Dataset) -> CubeLayout:
    """The layout of an open cube; its cells are in the order layer, component, head."""
    counts = dataset["n_parameters"].values
    components = tuple(str(name) for name in dataset["component"].values)
    where = np.argwhere(counts > 0)
    cells = [
        Cell(int(layer), components[component], None if head == NO_HEAD else int(head) - 1)
        for layer, component, head in where
    ]
    return CubeLayout(
        stacks=tuple(str(stack) for stack in dataset["stack"].values),
        heads=dataset.sizes["head"] - 1,
        cells=tuple(cells),
        n_parameters=tuple(int(counts[tuple(point)]) for point in where),
        components=components,
    )


def estimators_of(dataset: xr.Dataset) -> list[str]:
    """Names of the estimators recorded in an open cube, in the order of `in_order`."""
    found = [
        Estimator(str(variable.attrs["rule"]), str(variable.attrs["text"])).name
        for variable in dataset.data_vars.values()
        if {"rule", "text"} <= variable.attrs.keys()
    ]
    if dataset.attrs["cube_format"] == 1:
        found = [name for name in _FORMAT_1_ESTIMATORS if parse_estimator(name).variable in dataset]
    return in_order(found)


def iterate_blocks(
    dataset: xr.Dataset, estimator: str, steps: int = STEPS_PER_CHUNK
) -> Iterator[tuple[int, np.ndarray]]:
    """Read one estimator in runs of steps, never the whole cube.

    Yields
    ------
    (start, block)
        Position of the first step and an array (n, layer, component, head), NaN where no cell.
    """
    variable = dataset[parse_estimator(estimator).variable]
    for start in range(0, variable.shape[0], steps):
        yield start, variable[start : start + steps].values
