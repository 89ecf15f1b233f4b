"""Parts of the cube of a series of checkpoints: a file per interval, so that it can go on."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from losschange.cube.format import layout_of, open_cube
from losschange.cube.layout import CubeError, CubeLayout, layout_difference
from losschange.cube.parts import PartStore
from losschange.cube.writer import CubeWriter
from losschange.errors import CheckpointError

from .quadrature import Integral
from .series import Checkpoint
from .stored import files_of, sample_of

DETAILS = ("loss_before", "loss", "error", "evaluations")


class IntervalStore:
    """The intervals of one text that are recorded.

    Parameters
    ----------
    folder : path
    layout : CubeLayout
    attributes : mapping
        Global attributes of the cube.
    settings : str
        Digest of everything that the numbers depend on, apart from the checkpoints.
    """

    def __init__(
        self, folder: Path, layout: CubeLayout, attributes: Mapping[str, object], settings: str
    ):
        self.parts = PartStore(folder)
        self.layout = layout
        self.attributes = dict(attributes)
        self._settings = settings

    @staticmethod
    @contextmanager
    def locked(output: Path) -> Iterator[None]:
        """Prevent other processes from recording into a folder.

        Raises
        ------
        CheckpointError
            If another process does so already, or the folder cannot be written.
        """
        try:
            (output / "parts").mkdir(parents=True, exist_ok=True)
            lock = (output / "parts" / ".lock").open("w")
        except OSError as error:
            raise CheckpointError(f"{output} cannot be written: {error}") from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise CheckpointError(
                    f"another process is recording into {output}; wait for it, or give another "
                    "folder"
                ) from None
            yield

    def begin(self, series: Sequence[Checkpoint]) -> None:
        """Check the parts that exist; remove unfinished files.

        Raises
        ------
        CheckpointError
            If there are parts of other checkpoints, of another model, or under other settings.
        """
        folder = self.parts.folder
        if folder.is_dir():
            for path in folder.glob(".*.tmp"):
                path.unlink()
        known = {self._path(*pair): pair for pair in zip(series, series[1:])}
        for _, _, path in self.parts.parts():
            if path not in known:
                raise self._refusal(path, "there are no such checkpoints in the series")
            try:
                with open_cube(path) as cube:
                    difference = layout_difference(self.layout, layout_of(cube))
                    same = cube.attrs.get("settings") == self._digest(*known[path])
            except CubeError:
                path.unlink()  # damaged: it is recorded again
                continue
            if difference or not same:
                raise self._refusal(path, difference or "the files, the text or settings differ")

    def holds(self, start: Checkpoint, end: Checkpoint) -> bool:
        """Whether an interval is recorded."""
        return self._path(start, end).is_file()

    def write(
        self,
        start: Checkpoint,
        end: Checkpoint,
        loss_before: float,
        loss: float,
        trapezoid: np.ndarray,
        simpson: Integral,
    ) -> None:
        """Write the part of one interval.

        Parameters
        ----------
        start, end : Checkpoint
        loss_before, loss : float
            Of the text at both ends, nats per target token.
        trapezoid : float array (cells,)
        simpson : Integral
        """
        path, steps = self._path(start, end), np.array([end.update])
        about = {**self.attributes, "start_update": start.update}
        records = {"probe": (trapezoid, 1), "simpson": (simpson.cells, simpson.evaluations + 1)}
        with (
            self.writing(path),
            CubeWriter(
                path,
                self.layout,
                steps,
                {**about, "settings": self._digest(start, end)},
                {"batch": None, **dict.fromkeys(records, steps)},
                details=dict.fromkeys(records, DETAILS),
            ) as writer,
        ):
            for name, (cells, evaluations) in records.items():
                writer.write(0, values={name: cells[None]})
                error = cells.sum() - (loss - loss_before)
                numbers = (loss_before, loss, error, evaluations)
                found = {d: np.array([float(n)]) for d, n in zip(DETAILS, numbers)}
                writer.write_details(0, name, found)

    @contextmanager
    def writing(self, path: Path) -> Iterator[None]:
        """Turn what goes wrong while a file is written into a sentence."""
        try:
            yield
        except (OSError, RuntimeError) as error:
            free = shutil.disk_usage(self.parts.folder.parent).free
            raise CheckpointError(
                f"{path} cannot be written ({error}); {free / 1e6:.1f} MB are free. What was "
                "recorded before is kept: make room, and run it again"
            ) from None

    def _path(self, start: Checkpoint, end: Checkpoint) -> Path:
        return self.parts.path(start.update + 1, end.update)

    def _digest(self, start: Checkpoint, end: Checkpoint) -> str:
        """Of the settings and of the files of both checkpoints."""
        files = [
            [one.update, file.name, sample_of(file)]
            for one in (start, end)
            for file in files_of(one)
        ]
        return hashlib.sha256(json.dumps([self._settings, files]).encode()).hexdigest()

    def _refusal(self, path: Path, what: str) -> CheckpointError:
        return CheckpointError(
            f"{path} was recorded of other checkpoints or under other settings: {what}. Give "
            f"another folder, or remove {self.parts.folder}"
        )
