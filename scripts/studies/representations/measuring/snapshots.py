"""The space of every snapshot of a training, and how far it moved from one to the next."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from losschange.cube.format import layout_of, open_cube
from representations.covariances import Covariances
from representations.description import Extent, describe_states
from representations.errors import RepresentationError
from representations.over_training import intervals_of, svcca_distance_of
from representations.states import StatesReader

MEASURES = ("isotropy", "information", "neighbours")
# Parts of a Transformer layer, by the components of a cube; "layer" is all of them.
PARTS = {
    "attention": ("key", "query", "value", "out"),
    "feed-forward": ("W1", "W2"),
    "layer": None,
}
STEPS_PER_BLOCK = 1_000


def compare_snapshots(
    updates: Sequence[int],
    write: Callable[[int, Path], None],
    words: xr.Dataset,
    extent: Extent,
    folder: Path,
) -> xr.Dataset:
    """Distances of the snapshots of one training, layer by layer.

    Every snapshot's states are written to a file once. A comparison adds up covariances block by
    block, so the states of two models are never in memory together.

    Parameters
    ----------
    updates : sequence of int
        Ascending; the last is the end.
    write : callable (update, path)
        Writes the states of a snapshot.
    words : xr.Dataset
    extent : Extent
        Of the measures at every snapshot.
    folder : path
        Where the files of at most three snapshots lie for a while.

    Returns
    -------
    xr.Dataset by layer, snapshot (updates made) and interval (its last update)
        change: SVCCA distance of the states before and after each interval; to_end: that of each
        snapshot and the last; both with _floor, of permuted rows. average_similarity,
        input_information_share, output_information_share and neighbours_same_type, _left and
        _right at every snapshot, with their floors.

    Raises
    ------
    RepresentationError
        If the updates do not ascend, or a measure cannot be had; the snapshot is named.
    """
    intervals = intervals_of(updates)
    rows: dict[str, list[list[tuple[float, float]]]] = {"change": [], "to_end": []}
    described: list[xr.Dataset] = []
    with tempfile.TemporaryDirectory(dir=folder, prefix=".snapshots-") as name:
        place = {update: Path(name) / f"{update}.nc" for update in updates}
        write(updates[-1], place[updates[-1]])
        for before, update in [(None, updates[0]), *intervals]:
            if update != updates[-1]:
                write(update, place[update])
            try:
                if before is not None:
                    rows["change"].append(distances_of(place[before], place[update], extent.seed))
                    place[before].unlink()
                rows["to_end"].append(distances_of(place[update], place[updates[-1]], extent.seed))
                described.append(describe_states(place[update], words, MEASURES, extent))
            except RepresentationError as error:
                raise RepresentationError(f"snapshot {update}: {error}") from error
    table = xr.concat(described, "snapshot")
    kept = [
        key
        for key in table
        if str(key).startswith(("average_similarity", "input_", "output_", "neighbours_same"))
        and not str(key).endswith(("_low", "_high"))
    ]
    table = table[kept].assign_coords(
        snapshot=list(updates), interval=[update for _, update in intervals]
    )
    for key, dimension in (("change", "interval"), ("to_end", "snapshot")):
        values = np.moveaxis(np.array(rows[key]), -1, 0)
        for ending, part in zip(("", "_floor"), values, strict=True):
            table[key + ending] = ((dimension, "layer"), part)
    return table


def loss_change(cube: Path, updates: Sequence[int], stack: str) -> xr.DataArray:
    """−ΣLCA (nats per token) of the layers of a stack between snapshots.

    Parameters
    ----------
    cube : path
        With the estimator batch, recorded at every update.
    updates : sequence of int
        Ascending: interval i holds the updates above updates[i] up to updates[i + 1].
    stack : {"encoder", "decoder"}

    Returns
    -------
    xr.DataArray (part, layer, interval), positive where the layer lowered the loss
    """
    with open_cube(cube) as file:
        layout = layout_of(file)
        inside = [place for place, name in enumerate(layout.stacks) if name == stack]
        steps = file["step"].values
        total = np.zeros((len(updates) - 1, len(inside), len(layout.components)))
        for start in range(0, len(steps), STEPS_PER_BLOCK):
            some = slice(start, start + STEPS_PER_BLOCK)
            lca = file["lca"].isel(step=some, layer=inside).values
            values = np.asarray(np.nansum(lca, -1, np.float64))
            where = np.searchsorted(updates, steps[some]) - 1
            known = (where >= 0) & (where < len(total))
            np.add.at(total, where[known], values[known])
    columns = {
        part: np.isin(layout.components, names) if names else slice(None)
        for part, names in PARTS.items()
    }
    return xr.DataArray(
        np.stack([-total[..., column].sum(-1).T for column in columns.values()]),
        dims=("part", "layer", "interval"),
        coords={
            "part": list(PARTS),
            "layer": [str(layer + 1) for layer in range(len(inside))],
            "interval": list(updates[1:]),
        },
        name="loss_change",
    )


def distances_of(first: Path, second: Path, seed: int) -> list[tuple[float, float]]:
    """SVCCA distance and floor of every layer of two files of states, read in blocks of words."""
    with StatesReader(first) as one, StatesReader(second) as two:
        return [
            (svcca_distance_of(sums), svcca_distance_of(sums, permuted=True))
            for sums in (_covariances(one, two, layer, seed) for layer in one.layers)
        ]


def _covariances(one: StatesReader, two: StatesReader, layer: str, seed: int) -> Covariances:
    found = Covariances(one.width, two.width, seed)
    blocks: Iterator = zip(one.blocks(layer), two.blocks(layer), strict=True)
    for first, second in blocks:
        found.add(first, second)
    return found
