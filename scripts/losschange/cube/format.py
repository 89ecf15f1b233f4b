"""The LCA cube: what it holds and how it is opened.

One NetCDF-4 file per model with the dimensions step x layer x component x head. It is the
interface between training and everything after it, so this module is the only place that
knows its names, units and attributes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xarray as xr

from .estimators import Estimator, in_order, parse_estimator

FORMAT_VERSION = 2
# Format 1 has the units "nats", estimators without the attributes `rule` and `text`, and encoded
# text for `stack` and `label`.
READABLE_VERSIONS = (1, 2)
CONVENTIONS = f"CF-1.10 LCA-cube-{FORMAT_VERSION}"
# Place on the head axis of what is not split by head; attention head h stands at h + 1.
NO_HEAD = 0

# The default components, in the order of their axis. A schema may name its own.
COMPONENTS = (
    "embedding",
    "position",
    "key",
    "query",
    "value",
    "out",
    "cross_key",
    "cross_query",
    "cross_value",
    "cross_out",
    "W1",
    "W2",
    "bias",
    "norm",
    "output",
)

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

STEPS_PER_CHUNK = 1000
_FORMAT_1_ESTIMATORS = ("batch", "fresh", "probe", "simpson", "probe_valid", "simpson_valid")


class CubeError(ValueError):
    """A file that is not an LCA cube of this format, or cells that do not fit it."""


@dataclass(frozen=True, order=True)
class Cell:
    """One group of parameters: a point of layer x component x head.

    Parameters
    ----------
    layer : int
        Depth, 0 = embeddings, 1..N = Transformer layers, N + 1 = after the last layer.
    component : str
        One of the layout's components.
    head : int or None
        Attention head 0..H-1, None where the component is not split by head. Where several query
        heads share a key and value head, keys and values have fewer heads than queries. The
        matrices of an expert stand under the expert's number.
    """

    layer: int
    component: str
    head: int | None = None


@dataclass(frozen=True)
class CubeLayout:
    """The static part of a cube: its axes and the cells that exist.

    Parameters
    ----------
    stacks : sequence of str
        Per layer 0..N+1: "embedding", "encoder", "decoder" or "output"; the name of a module in
        networks that are no Transformers.
    heads : int
        Length of the head axis without "none".
    cells : sequence of Cell
        The cells that exist, in the order of the recorded values.
    n_parameters : sequence of int
        Trainable scalars per cell, aligned with `cells`.
    components : sequence of str
        The component axis.

    Raises
    ------
    CubeError
        If a cell lies outside the axes, appears twice, or counts do not align.
    """

    stacks: tuple[str, ...]
    heads: int
    cells: tuple[Cell, ...]
    n_parameters: tuple[int, ...]
    components: tuple[str, ...] = COMPONENTS
    index: tuple[np.ndarray, np.ndarray, np.ndarray] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.cells) != len(self.n_parameters):
            raise CubeError(f"{len(self.cells)} cells but {len(self.n_parameters)} counts")
        if len(set(self.cells)) != len(self.cells):
            raise CubeError("a cell appears twice in the layout")
        for cell in self.cells:
            inside = 0 <= cell.layer < len(self.stacks) and cell.component in self.components
            if not inside or (cell.head is not None and not 0 <= cell.head < self.heads):
                raise CubeError(
                    f"{cell} lies outside {len(self.stacks)} layers, {self.heads} heads "
                    f"and the components {', '.join(self.components)}"
                )
        places = {name: place for place, name in enumerate(self.components)}
        index = (
            np.array([cell.layer for cell in self.cells], dtype=np.int64),
            np.array([places[cell.component] for cell in self.cells], dtype=np.int64),
            np.array(
                [NO_HEAD if cell.head is None else cell.head + 1 for cell in self.cells],
                dtype=np.int64,
            ),
        )
        object.__setattr__(self, "index", index)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Lengths of (layer, component, head), the head axis starting with "none"."""
        return len(self.stacks), len(self.components), self.heads + 1

    @property
    def labels(self) -> list[str]:
        """Readable names of the layers, such as "enc.3"."""
        short = {"encoder": "enc", "decoder": "dec"}
        return [
            f"{short[stack]}.{depth}" if stack in short else stack
            for depth, stack in enumerate(self.stacks)
        ]

    def to_grid(self, values: np.ndarray) -> np.ndarray:
        """Spread values (..., cells) over a grid (..., layer, component, head), NaN elsewhere."""
        grid = np.full(values.shape[:-1] + self.shape, np.nan, dtype=np.float32)
        grid[(..., *self.index)] = values
        return grid

    def from_grid(self, grid: np.ndarray) -> np.ndarray:
        """Pick the existing cells of a grid (..., layer, component, head) as (..., cells)."""
        return grid[(..., *self.index)]


def detail_variable(detail: str, estimator: str) -> str:
    """Name of the variable that holds a detail of an estimator's records."""
    if detail in _DETAIL_NAMES:
        suffix = "" if estimator == "batch" else f"_{estimator}"
        return _DETAIL_NAMES[detail] + suffix
    return f"{estimator}_{detail}"


def details_of(dataset: xr.Dataset, estimator: str) -> list[str]:
    """Names of the DETAILS that an open cube holds of an estimator."""
    return [detail for detail in DETAILS if detail_variable(detail, estimator) in dataset]


def steps_of(dataset: xr.Dataset, estimator: str) -> np.ndarray:
    """Numbers of the updates (n,) at which an estimator was recorded."""
    axis = dataset[parse_estimator(estimator).variable].dims[0]
    return dataset[axis].values.astype(np.int64)


def layout_difference(expected: CubeLayout, found: CubeLayout) -> str | None:
    """The first thing in which two layouts differ, in words; None if they are the same."""
    if expected.shape != found.shape:
        names = ("layers", "components", "heads with none")
        sizes = [
            f"{f} {name} instead of {e}"
            for name, e, f in zip(names, expected.shape, found.shape, strict=True)
            if e != f
        ]
        return ", ".join(sizes)
    if expected.stacks != found.stacks:
        return f"stacks {', '.join(found.stacks)} instead of {', '.join(expected.stacks)}"
    if expected.components != found.components:
        return (
            f"components {', '.join(found.components)} instead of {', '.join(expected.components)}"
        )
    here = dict(zip(expected.cells, expected.n_parameters, strict=True))
    there = dict(zip(found.cells, found.n_parameters, strict=True))
    for cell in sorted(here.keys() | there.keys(), key=str):
        if here.get(cell, 0) != there.get(cell, 0):
            return f"{cell} has {there.get(cell, 0)} parameters instead of {here.get(cell, 0)}"
    return None


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
            f"{path} is not a readable NetCDF-4 file ({error}); make it again"
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
