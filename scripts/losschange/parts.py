"""Parts of a cube that is still growing, and the assembly of the finished cube.

HDF5 files are not crash-safe, so a running training writes whole small cubes, each complete
under its final name. A checkpoint of update N goes with the parts up to N; whatever is later is
dropped when training resumes from it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from .cube import (
    ESTIMATORS,
    SERIES,
    STEPS_PER_CHUNK,
    CubeError,
    CubeLayout,
    estimators_of,
    layout_of,
    open_cube,
)
from .cube_writer import CubeWriter

_NAME = re.compile(r"part-(\d{9})-(\d{9})\.nc")


class PartStore:
    """The folder of parts of one training run.

    Parameters
    ----------
    folder : path
        Created when the first part is written.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)

    def parts(self) -> list[tuple[int, int, Path]]:
        """(first update, last update, path) of every complete part, ascending."""
        if not self.folder.is_dir():
            return []
        matches = [(_NAME.fullmatch(path.name), path) for path in self.folder.iterdir()]
        return sorted((int(m[1]), int(m[2]), path) for m, path in matches if m)

    def last_update(self) -> int:
        """Number of the last update that a complete part holds, 0 without parts."""
        return max((last for _, last, _ in self.parts()), default=0)

    def write(
        self,
        first: int,
        layout: CubeLayout,
        series: Mapping[str, np.ndarray],
        values: Mapping[str, np.ndarray],
        valid_losses: list[tuple[int, float]],
        attributes: Mapping[str, object],
    ) -> Path:
        """Write the updates from `first` on as one part.

        Parameters
        ----------
        first : int
            Number of the first update, 1-based.
        layout : CubeLayout
        series : mapping of name to array (n,)
        values : mapping of estimator to array (n, cells), nats per target token
        valid_losses : list of (update, nats)
        attributes : mapping
        """
        steps = np.arange(first, first + len(values["batch"]))
        path = self.folder / f"part-{steps[0]:09d}-{steps[-1]:09d}.nc"
        with CubeWriter(path, layout, steps, attributes, valid_losses=valid_losses) as writer:
            writer.write(0, series, values)
        return path

    def drop_after(self, update: int) -> None:
        """Remove what was recorded after a checkpoint, and unfinished temporary files.

        Raises
        ------
        CubeError
            If the parts do not hold every update from 1 to `update` exactly once.
        """
        if self.folder.is_dir():
            for path in self.folder.glob(".*.tmp"):
                path.unlink()
        for _, last, path in self.parts():
            if last > update:
                path.unlink()
        self.check_complete(update)

    def check_complete(self, update: int) -> None:
        """Raise CubeError unless the parts hold the updates 1..update exactly once."""
        expected = 1
        for first, last, path in self.parts():
            if first != expected:
                raise CubeError(
                    f"{self.folder} should go on with update {expected}, but {path.name} comes "
                    "next: a part is missing or doubled; remove the state folder to start again"
                )
            expected = last + 1
        if expected != update + 1:
            raise CubeError(
                f"{self.folder} holds the updates up to {expected - 1}, but {update} were made; "
                "remove the state folder to start again"
            )


def assemble_cube(
    store: PartStore,
    path: str | os.PathLike,
    updates: int,
    attributes: Mapping[str, object],
) -> None:
    """Join the parts of a finished training into its cube, in one streaming pass.

    The bytes of the cube depend on its values alone, not on how they were split into parts.

    Parameters
    ----------
    store : PartStore
    path : path
        Final name of the cube, put in place when complete.
    updates : int
        Number of updates of the whole training.
    attributes : mapping
        Global attributes of the cube.

    Raises
    ------
    CubeError
        If updates are missing or parts do not have the same cells.
    """
    store.check_complete(updates)
    parts = [part for _, _, part in store.parts()]
    if not parts:
        raise CubeError(f"{store.folder} holds no part; there is nothing to assemble")
    valid_losses: list[tuple[int, float]] = []
    with open_cube(parts[0]) as first:
        layout, estimators = layout_of(first), estimators_of(first)
    for part in parts:
        with open_cube(part) as cube:
            if layout_of(cube) != layout or estimators_of(cube) != estimators:
                raise CubeError(f"{part} has other cells or estimators than {parts[0]}")
            valid_losses += zip(
                cube["valid_step"].values.tolist(), cube["valid_loss"].values.tolist(), strict=True
            )
    with CubeWriter(
        path, layout, np.arange(1, updates + 1), attributes, valid_losses=valid_losses
    ) as writer:
        # Whole chunks only: a chunk compressed twice would make the bytes depend on the parts.
        buffer = _ChunkBuffer(writer)
        for part in parts:
            with open_cube(part) as cube:
                series = {name: cube[name].values for name in SERIES}
                values = {
                    name: layout.from_grid(cube[ESTIMATORS[name][0]].values) for name in estimators
                }
            buffer.add(series, values)
        buffer.flush()


class _ChunkBuffer:
    """Collects rows and hands them to the writer in runs of exactly one chunk."""

    def __init__(self, writer: CubeWriter):
        self.writer = writer
        self.written = 0
        self.series: dict[str, np.ndarray] = {}
        self.values: dict[str, np.ndarray] = {}

    def add(self, series: Mapping[str, np.ndarray], values: Mapping[str, np.ndarray]) -> None:
        for held, new in ((self.series, series), (self.values, values)):
            for name, rows in new.items():
                held[name] = np.concatenate([held[name], rows]) if name in held else rows
        while len(self.values["batch"]) >= STEPS_PER_CHUNK:
            self._write(STEPS_PER_CHUNK)

    def flush(self) -> None:
        if len(self.values["batch"]):
            self._write(len(self.values["batch"]))

    def _write(self, count: int) -> None:
        self.writer.write(
            self.written,
            {name: rows[:count] for name, rows in self.series.items()},
            {name: rows[:count] for name, rows in self.values.items()},
        )
        self.written += count
        self.series = {name: rows[count:] for name, rows in self.series.items()}
        self.values = {name: rows[count:] for name, rows in self.values.items()}
