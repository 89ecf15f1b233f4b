"""The descriptions of one model at several snapshots, as one dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from .description import GROUPED, Description
from .functions import COORDINATES, Counts
from .storage import VARIABLES, make_heads_dataset


def make_series(
    snapshots: Sequence[int],
    shapes: Mapping[str, tuple[int, int]],
    found: Sequence[Description],
    attributes: Mapping[str, str | int | float],
) -> xr.Dataset:
    """One dataset of all snapshots; by sentence and by group only of the last.

    Parameters
    ----------
    snapshots : sequence of int
        Updates before each snapshot, ascending.
    shapes : mapping of attention name to (layers, heads)
    found : sequence of Description
        One for each snapshot; what one of them lacks is NaN there.
    attributes : mapping
    """
    last = found[-1]
    names = [name for name in VARIABLES if any(name in each.values for each in found)]
    variables = {
        name: [each.values.get(name) or _nothing(name, shapes, found) for each in found]
        for name in names
    }
    dataset = make_heads_dataset(
        snapshots, shapes, variables, last.by_sentence, last.targets, COORDINATES, attributes
    )
    for kind in GROUPED:
        if kind in last.counts:
            for name, array in _by_group(kind, last.counts[kind], shapes).items():
                dataset[name] = array
    return dataset


def _nothing(
    name: str, shapes: Mapping[str, tuple[int, int]], found: Sequence[Description]
) -> dict[str, np.ndarray]:
    """NaN of the shape that a variable has at another snapshot."""
    example = next(each.values[name] for each in found if name in each.values)
    return {attention: np.full_like(values, np.nan) for attention, values in example.items()}


def _by_group(
    kind: str, counts: Mapping[str, Counts], shapes: Mapping[str, tuple[int, int]]
) -> dict[str, xr.DataArray]:
    """Hits, chances and baseline of every group of sentences, 0 where there are none."""
    axes = VARIABLES[kind][0]
    groups = max(len(each.hits) for each in counts.values())
    layers, heads = np.max(list(shapes.values()), axis=0)
    further = next(iter(counts.values())).hits.shape[3:]
    hits = np.zeros((groups, len(shapes), layers, heads, *further))
    chances = np.zeros((groups, len(shapes), *further))
    baseline = np.zeros_like(chances)
    for place, name in enumerate(shapes):
        if name in counts:
            each = counts[name]
            own = each.hits
            hits[: len(own), place, : own.shape[1], : own.shape[2]] = own
            chances[: len(own), place] = each.chances
            baseline[: len(own), place] = each.baseline
    front = ("group", "attention")
    return {
        f"{kind}_hits": xr.DataArray(
            hits.astype(np.float32), dims=(*front, "layer", "head", *axes)
        ),
        f"{kind}_chances": xr.DataArray(chances.astype(np.float32), dims=(*front, *axes)),
        f"{kind}_baseline": xr.DataArray(baseline.astype(np.float32), dims=(*front, *axes)),
    }
