"""From a cube to the study's record of one training: its parts, their resamplings, noise scales.

The record is a NetCDF file: everything that figures, tables and claims of the study read.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from losschange.analysis.noise_draws import resampled_parts
from losschange.analysis.noise_scale import noise_scale
from losschange.cube.estimators import parse_estimator
from losschange.cube.format import detail_variable, steps_of
from losschange.cube.layout import NO_HEAD

WINDOWS = 4
CELLS = ("layer", "component")
# Name in the record: axes that a noise scale is told by.
SCALES = {"scale": (), "layer_scale": ("layer",), "component_scale": ("component",)}
HEADS = ("layer", "component", "head")


def measure(
    cube: xr.Dataset, settings: Mapping[str, Any], stride: int, draws: int, seed: int
) -> xr.Dataset:
    """The record of one training.

    Parameters
    ----------
    cube : Dataset
        Open.
    settings : mapping
        The training's settings as they ran: optimizer and its momentum.
    stride : int
        Of the study's variants. Where `fresh` looks at every update, the noise is also computed
        from every stride-th record of it, to be compared with that from all of them.
    draws, seed : int
        Resamplings of training, and their seed.

    Returns
    -------
    Dataset
        `value` and `drawn` of `losschange.resampled_parts` by layer and component;
        `targets` (window) is the number of target tokens per update, `rate` (window) the sum of
        the learning rates; `loss_change` (window) the measured change of the probe's loss; `scale`,
        `layer_scale`, `component_scale` and `head_scale` are noise scales with their intervals
        (_low, _high); `thinned` and `thinned_drawn` (window) the noise from fewer records.
    """
    # Trainings are independent of each other, and so are their resamplings.
    seed = zlib.crc32(f"{seed} {cube.attrs.get('model', '')}".encode())
    record = resampled_parts(cube, CELLS, WINDOWS, draws=draws, seed=seed)
    optimizer = str(settings["optimizer"])
    momentum = settings["momentum"] if optimizer == "sgd" else settings["adam_betas"][0]
    record.attrs |= {
        "model": str(cube.attrs["model"]),
        "objective": str(cube.attrs["objective"]),
        "optimizer": optimizer,
        "momentum": float(momentum),
        "updates": int(cube["step"].values[-1]),
    }
    for name in ("stack", "label"):
        record.coords[name] = ("layer", [str(value) for value in cube[name].values])
    _add_series(record, cube)
    _add_losses(record, cube)
    if np.isfinite(record["value"].sel(term="noise")).any():
        _add_scales(record, cube, draws, seed)
        _add_thinned(record, cube, stride, draws, seed)
    return record


def _add_series(record: xr.Dataset, cube: xr.Dataset) -> None:
    """Targets per update (noise is proportional to 1 / B, hence the harmonic mean), and rates."""
    steps = cube["step"].values
    targets, rates = [], []
    for first, last in zip(record["window_first"].values, record["window_last"].values):
        inside = (steps >= first) & (steps <= last)
        sizes = cube["sample_size"].values[inside].astype(np.float64)
        targets.append(1 / np.mean(1 / sizes) if (sizes > 0).all() else np.nan)
        rates.append(cube["lr"].values[inside].astype(np.float64).sum())
    predicted = cube["sample_size"].values.sum() / cube["tokens"].values.sum()
    record.attrs["predicted_share"] = float(predicted)
    record["targets"] = ("window", targets, {"units": "1", "long_name": "target tokens per update"})
    record["rate"] = ("window", rates, {"units": "1", "long_name": "sum of the learning rates"})


def _add_losses(record: xr.Dataset, cube: xr.Dataset) -> None:
    """The change of the probe's loss over every window; NaN without Simpson's rule."""
    changes = np.full(record.sizes["window"], np.nan)
    loss = detail_variable("loss", "simpson")
    if loss in cube:
        ends = steps_of(cube, "simpson")
        before = cube[detail_variable("loss_before", "simpson")].values
        after = cube[loss].values
        for place, first in enumerate(record["window_first"].values):
            begin = np.searchsorted(ends, first)
            end = np.searchsorted(ends, record["window_last"].values[place])
            changes[place] = after[end] - before[begin]
    meaning = {"units": "1", "long_name": "measured change of the probe's loss, nats per token"}
    record["loss_change"] = ("window", changes, meaning)


def _add_scales(record: xr.Dataset, cube: xr.Dataset, draws: int, seed: int) -> None:
    """Noise scales over training, and those of single heads over the whole run."""
    given = {"optimizer": record.attrs["optimizer"], "momentum": record.attrs["momentum"]}
    for name, by in SCALES.items():
        found = noise_scale(cube, by=by, windows=WINDOWS, draws=draws, seed=seed, **given)
        record.attrs["assumption"] = found.attrs["assumption"]
        for of, ending in (("value", ""), ("low", "_low"), ("high", "_high")):
            whole = np.concatenate([found[of].values[None], found[f"window_{of}"].values])
            record[f"{name}{ending}"] = (("window", *by), whole, found[of].attrs)
    heads = noise_scale(cube, by=HEADS, windows=1, draws=draws, seed=seed, **given)
    heads = heads.isel(head=slice(NO_HEAD + 1, None))
    record.coords["head"] = [str(head) for head in heads["head"].values]
    for of, ending in (("value", ""), ("low", "_low"), ("high", "_high")):
        record[f"head_scale{ending}"] = (HEADS, heads[of].values, heads[of].attrs)


def _add_thinned(record: xr.Dataset, cube: xr.Dataset, stride: int, draws: int, seed: int) -> None:
    """Noise from every stride-th record of `fresh`, where it looks at every update."""
    fresh = steps_of(cube, "fresh")
    if stride < 2 or not np.array_equal(fresh, cube["step"].values):
        return
    name = parse_estimator("fresh").variable
    some = cube[name].isel(step=slice(stride - 1, None, stride)).rename(step="step_fresh")
    thinned = cube.drop_vars(name).assign({name: some})
    firsts, lasts = record["window_first"].values, record["window_last"].values
    edges = [int(firsts[1]) - 1, *map(int, lasts[1:])]
    found = resampled_parts(thinned, (), edges=edges, draws=draws, seed=seed).sel(term="noise")
    record["thinned"] = ("window", found["value"].values)
    record["thinned_drawn"] = (("draw", "window"), found["drawn"].values)


def write_record(record: xr.Dataset, path: str | os.PathLike[str]) -> None:
    """Write a record as NetCDF-4; equal records give byte-identical files."""
    encoding: dict[Any, dict[str, Any]] = {
        name: {"zlib": True, "complevel": 4, "shuffle": True}
        for name, variable in record.variables.items()
        if variable.ndim > 1
    }
    encoding |= {
        name: {"dtype": "S1"} for name, one in record.variables.items() if one.dtype.kind in "UO"
    }
    record.to_netcdf(path, engine="netcdf4", format="NETCDF4", encoding=encoding)
