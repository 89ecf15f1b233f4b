"""From an LCA cube to its summary: one streaming pass, then everything fits in memory.

The pass itself is in `streaming`; here its results get names, units and axes, and `conservation`
holds the sums against the measured loss. Figures, tables and claims read summaries only, so none
of them ever needs a cube.
"""

from __future__ import annotations

import os

import numpy as np
import xarray as xr

from losschange.cube.estimators import parse_estimator
from losschange.cube.format import estimators_of, layout_of, open_cube
from losschange.cube.layout import CubeError, CubeLayout

from .conservation import add_conservation, add_losses, measures_of
from .streaming import (
    MAXIMUM_BLOCKS,
    UNIT_CONVENTIONS,
    Plan,
    StreamedEstimator,
    plan_for,
    stream_estimator,
)
from .word_totals import add_word_totals

FORMAT_VERSION = 5

GROUP = ("estimator", "layer", "component")
CONVENTION_GROUP = ("estimator", "unit_convention", "layer", "component")

# name: (axes, unit, meaning) of what is stacked over estimators as it comes out of the pass
STREAMED = {
    "moving_average": (
        ("estimator", "point", "layer", "component"),
        "nats",
        "mean LCA per update over the window centred at the point",
    ),
    "t90": (GROUP, "1", "first update at which 90 % of the cell's total LCA is reached"),
    "positive_count": (GROUP, "1", "number of records with positive LCA"),
    "last_positive_step": (GROUP, "1", "last update with positive LCA, 0 = never"),
    "largest_positive": (CONVENTION_GROUP, "nats", "largest positive LCA of one record, 0 = none"),
    "largest_positive_step": (
        CONVENTION_GROUP,
        "1",
        "update of the largest positive LCA, 0 = none",
    ),
    "binned_total": (
        ("estimator", "bin", "layer", "component"),
        "nats",
        "sum of the LCA of the records in the bin",
    ),
    "binned_positive_count": (
        ("estimator", "bin", "layer", "component"),
        "1",
        "number of records with positive LCA in the bin",
    ),
    "binned_positive_sum": (
        ("estimator", "unit_convention", "bin", "layer", "component"),
        "nats",
        "sum of the positive LCA in the bin",
    ),
    "binned_positive_max": (
        ("estimator", "unit_convention", "bin", "layer", "component"),
        "nats",
        "largest positive LCA in the bin, 0 = none",
    ),
}


class SummaryError(ValueError):
    """A cube that cannot be summarised, or a file that is no summary of this format."""


def summarise_cube(path: str | os.PathLike[str], most_blocks: int = MAXIMUM_BLOCKS) -> xr.Dataset:
    """Summarise one cube, every estimator that it holds.

    Parameters
    ----------
    path : path
        An LCA cube (`losschange.cube.format`).
    most_blocks : int
        Into how many blocks of updates the sums of all cells are divided at most.

    Returns
    -------
    xarray.Dataset
        In memory; LCA in nats per token as in the cube (negative = the loss fell). A cell of
        (layer, component) is the sum over heads; NaN where the model has no such cell.

    Raises
    ------
    SummaryError
        If the cube has no steps or no estimator.
    CubeError
        If it is no cube, or an existing cell holds NaN (named with its step).
    """
    with open_cube(path) as cube:
        try:
            return _summarise(path, cube, most_blocks)
        except RuntimeError as error:
            # netCDF4's own error for bytes that do not decompress
            raise CubeError(
                f"{path} is damaged ({error}); assemble it again from its parts"
            ) from None


def _summarise(path: str | os.PathLike[str], cube: xr.Dataset, most_blocks: int) -> xr.Dataset:
    names = estimators_of(cube)
    if not names or cube.sizes["step"] == 0:
        raise SummaryError(f"{path} records no steps; train the model first, then summarise")
    layout = layout_of(cube)
    plan = plan_for(cube, most_blocks)
    streamed = {name: stream_estimator(cube, layout, name, plan) for name in names}
    summary = _static_part(cube, layout, plan, names)
    _add_streamed(summary, layout, streamed)
    _add_components(summary)
    add_losses(summary, cube, plan)
    add_conservation(summary, cube, plan, streamed)
    add_word_totals(summary, cube, plan, names)
    return summary


def _static_part(cube: xr.Dataset, layout: CubeLayout, plan: Plan, names: list[str]) -> xr.Dataset:
    measures = measures_of(names)
    summary = xr.Dataset(
        coords={
            "estimator": names,
            "layer": cube["layer"].values,
            "component": list(layout.components),
            "head": [str(head) for head in cube["head"].values],
            "unit_convention": list(UNIT_CONVENTIONS),
            "rule": ("estimator", [parse_estimator(name).rule for name in names]),
            "text": ("estimator", [parse_estimator(name).text for name in names]),
            "measure": list(measures),
            "point": ("point", plan.point_centre, {"long_name": "update at the window's centre"}),
            "bin": ("bin", plan.bin_last, {"long_name": "last update of the bin"}),
            "block": ("block", plan.block_last, {"long_name": "last update of the block"}),
            "bin_first": ("bin", plan.bin_first, {"long_name": "first update of the bin"}),
            "valid_step": cube["valid_step"].values,
            "stack": ("layer", list(layout.stacks)),
            "label": ("layer", layout.labels),
        },
        attrs={
            **cube.attrs,
            "summary_format": np.int64(FORMAT_VERSION),
            "steps": np.int64(plan.last_step),
            "window": np.int64(plan.window),
            "window_meaning": "updates per moving average: 1000, at most a tenth of the run",
            **{f"unit_convention_{name}": meaning for name, meaning in UNIT_CONVENTIONS.items()},
            **{f"measure_{name}": meaning for name, meaning in measures.items()},
        },
    )
    summary["n_parameters"] = cube["n_parameters"].load()
    return summary.drop_attrs(deep=False).assign_attrs(summary.attrs)


def _add_streamed(
    summary: xr.Dataset, layout: CubeLayout, streamed: dict[str, StreamedEstimator]
) -> None:
    """Spread the groups of the pass over layer x component and stack the estimators."""
    layers, components = next(iter(streamed.values())).groups
    shape = (summary.sizes["layer"], summary.sizes["component"])
    for name, (axes, units, meaning) in STREAMED.items():
        grids = []
        for result in streamed.values():
            values = getattr(result, name)
            grid = np.full(values.shape[:-1] + shape, np.nan)
            grid[..., layers, components] = values
            grids.append(grid)
        summary[name] = (axes, np.stack(grids), {"units": units, "long_name": meaning})
    totals = np.full((len(streamed), *layout.shape), np.nan)
    for position, result in enumerate(streamed.values()):
        totals[(position, *layout.index)] = result.totals
    summary["totals"] = (
        ("estimator", "layer", "component", "head"),
        totals,
        {"units": "nats", "long_name": "LCA summed over all records"},
    )
    blocks = np.full((len(streamed), len(summary["block"]), *layout.shape), np.nan)
    for position, result in enumerate(streamed.values()):
        blocks[position][(slice(None), *layout.index)] = result.block_totals
    summary["block_total"] = (
        ("estimator", "block", "layer", "component", "head"),
        blocks,
        {"units": "nats", "long_name": "sum of the LCA of the records in the block"},
    )
    summary["binned_records"] = (
        ("estimator", "bin"),
        np.stack([result.binned_records for result in streamed.values()]).astype(np.int64),
        {"units": "1", "long_name": "number of records in the bin"},
    )
    for name, meaning in (
        ("records", "number of records"),
        ("stride", "updates from one record to the next; the last may come sooner"),
        ("coverage", "share of the updates that the records cover"),
    ):
        numbers = [float(getattr(result, name)) for result in streamed.values()]
        summary[name] = ("estimator", numbers, {"units": "1", "long_name": meaning})


def _add_components(summary: xr.Dataset) -> None:
    """Table 1's numbers: per component over its (layer, record) cells."""
    counted = summary["positive_count"].notnull().any("layer")
    summary["component_positive_count"] = summary["positive_count"].sum("layer").where(counted)
    summary["component_last_positive_step"] = summary["last_positive_step"].max("layer")
    largest = summary["largest_positive"]
    summary["component_largest_positive"] = largest.max("layer")
    # -inf instead of NaN: argmax must not stumble over layers without the component
    where = largest.fillna(-np.inf).argmax("layer")
    found = summary["component_largest_positive"] > 0
    step = summary["largest_positive_step"].isel(layer=where).drop_vars(["layer", "stack", "label"])
    layer = xr.DataArray(summary["layer"].values[where.values], dims=where.dims)
    summary["component_largest_positive_layer"] = layer.where(found)
    summary["component_largest_positive_step"] = step.where(found)
    for name, units, meaning in (
        ("count", "1", "number of (layer, record) cells with positive LCA"),
        ("last_positive_step", "1", "last update with positive LCA in any layer, 0 = never"),
        ("largest_positive", "nats", "largest positive LCA of one layer and record, 0 = none"),
        ("largest_positive_layer", "1", "layer of the largest positive LCA"),
        ("largest_positive_step", "1", "update of the largest positive LCA"),
    ):
        full = "component_positive_count" if name == "count" else f"component_{name}"
        summary[full].attrs = {"units": units, "long_name": meaning}


def write_summary(summary: xr.Dataset, path: str | os.PathLike[str]) -> None:
    """Write a summary as NetCDF-4; equal summaries give byte-identical files."""
    encoding: dict[str, dict[str, object]] = {}
    for name, variable in summary.variables.items():
        if variable.dtype.kind in "UO":
            encoding[str(name)] = {"dtype": "S1"}
        elif variable.ndim > 1:
            encoding[str(name)] = {"zlib": True, "complevel": 4, "shuffle": True}
    summary.to_netcdf(path, engine="netcdf4", format="NETCDF4", encoding=encoding)


def open_summary(path: str | os.PathLike[str]) -> xr.Dataset:
    """Open a summary lazily and check that it is one.

    Raises
    ------
    SummaryError
        If the file cannot be read or is no summary of this format.
    FileNotFoundError
        If there is no such file.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"no summary at {path}; make it with summarise_cube.py")
    try:
        dataset = xr.open_dataset(path, engine="netcdf4")
    except OSError as error:
        raise SummaryError(
            f"{path} is not a readable NetCDF-4 file ({error}); make it again with "
            "summarise_cube.py"
        ) from None
    found = dataset.attrs.get("summary_format")
    if found != FORMAT_VERSION:
        dataset.close()
        raise SummaryError(
            f"{path} is no summary of format {FORMAT_VERSION} (found {found}); make it with "
            "summarise_cube.py"
        )
    return dataset
