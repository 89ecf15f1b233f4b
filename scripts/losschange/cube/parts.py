"""Parts of a cube that is still growing.

HDF5 files are not crash-safe, so a running training writes whole small cubes, each complete
under its final name. A checkpoint of update N goes with the parts up to N; whatever is later is
dropped when training resumes from it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from .estimators import parse_estimator
from .folder_claim import FolderClaim, marks_of_run
from .format import (
    CELL_AXES,
    DETAILS,
    SERIES,
    detail_variable,
    details_of,
    estimators_of,
    layout_of,
    open_cube,
    rates_of,
    steps_of,
)
from .layout import CubeError, CubeLayout, layout_difference
from .word_bins import WordBins, bins_of
from .writer import CubeWriter


@dataclass(frozen=True)
class Records:
    """Consecutive records of one estimator.

    Parameters
    ----------
    steps : int array (n,)
        Updates at which they were made, ascending.
    values : array (n, cells)
        LCA, nats per target token.
    details : mapping of name in losschange.cube.format.DETAILS to array (n, ...)
    """

    steps: np.ndarray
    values: np.ndarray
    details: Mapping[str, np.ndarray]


def join_records(blocks: Sequence[Records]) -> Records:
    """Records one after another as one."""
    return Records(
        np.concatenate([block.steps for block in blocks]),
        np.concatenate([block.values for block in blocks]),
        {
            name: np.concatenate([block.details[name] for block in blocks])
            for name in blocks[0].details
        },
    )


def read_records(cube: xr.Dataset, layout: CubeLayout, estimator: str) -> Records:
    """All records of an estimator of an open part, in memory."""
    details = {}
    for name in details_of(cube, estimator):
        values = cube[detail_variable(name, estimator)].values
        details[name] = layout.from_grid(values) if DETAILS[name][0] == CELL_AXES else values
    values = layout.from_grid(cube[parse_estimator(estimator).variable].values)
    return Records(steps_of(cube, estimator), values, details)


_NAME = re.compile(r"part-(\d{9})-(\d{9})\.nc")


class PartStore:
    """The folder of parts of one training run, created when it is claimed or first written to.

    Attributes
    ----------
    marks : dict
        Attributes of the parts alone: "run", the recording, and "parameters", a fingerprint.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = Path(folder)
        self.marks: dict[str, str] = {}
        self._claim: FolderClaim | None = None

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
        records: Mapping[str, Records],
        valid_losses: list[tuple[int, float]],
        attributes: Mapping[str, object],
        word_bins: WordBins | None = None,
    ) -> Path:
        """Write the updates from `first` on as one part.

        Parameters
        ----------
        first : int
            Number of the first update, 1-based.
        layout : CubeLayout
        series : mapping of name to array (n,)
        records : mapping of estimator to Records
            Those of "batch" are of all n updates.
        valid_losses : list of (update, nats)
        attributes : mapping
        word_bins : WordBins, optional

        Raises
        ------
        CubeError
            If it cannot be written, or a claimed folder does not hold just the updates before.
        """
        with nullcontext() if self._claim is None else self._claim.borrowed():
            if self._claim is not None:
                self.check_complete(first - 1)
            return self._write(first, layout, series, records, valid_losses, attributes, word_bins)

    def _write(self, first, layout, series, records, valid_losses, attributes, word_bins) -> Path:
        steps = np.arange(first, first + len(records["batch"].values))
        path = self.path(steps[0], steps[-1])
        with CubeWriter(
            path,
            layout,
            steps,
            {**attributes, **self.marks},
            {name: found.steps for name, found in records.items()},
            valid_losses,
            {name: tuple(found.details) for name, found in records.items()},
            word_bins,
            [name for name in series if name not in SERIES],
        ) as writer:
            writer.write(0, series, {name: found.values for name, found in records.items()})
            for name, found in records.items():
                writer.write_details(0, name, found.details)
        return path

    def append(
        self,
        layout: CubeLayout,
        records: Mapping[str, Records],
        valid_losses: list[tuple[int, float]],
    ) -> None:
        """Add to the newest part what was measured after it was written, without an update.

        Parameters
        ----------
        layout : CubeLayout
            Gives the order of the cells in `records`; a part does not keep it.
        records : mapping of estimator to Records
            Of estimators other than "batch", after those that the part holds.
        valid_losses : list of (update, nats)
        """
        first, _, path = self.parts()[-1]
        with open_cube(path) as cube:
            held = {name: read_records(cube, layout, name) for name in estimators_of(cube)}
            series = {name: cube[name].values for name in (*SERIES, *rates_of(cube))}
            before = zip(cube["valid_step"].values.tolist(), cube["valid_loss"].values)
            valid_losses = [*before, *valid_losses]
            attributes, word_bins = dict(cube.attrs), bins_of(cube)
        joined = {
            name: join_records([old, records[name]]) if name in records else old
            for name, old in held.items()
        }
        self._write(first, layout, series, joined, valid_losses, attributes, word_bins)

    def claim(
        self, layout: CubeLayout, updates: int, run: str | None = None, parameters: str = ""
    ) -> None:
        """Claim the folder for one recording from update `updates` + 1 on; delete later parts.

        Parameters
        ----------
        layout : CubeLayout
        updates, run, parameters : int, str, str
            As `marks_of_run` takes them.

        Raises
        ------
        CubeError
            As `begin`, `marks_of_run` and `FolderClaim.take` do.
        """
        self._check_layout(layout, updates)
        self.marks = marks_of_run(self.parts(), updates, run, parameters)
        self._check([part for part in self.parts() if part[1] <= updates], updates)
        self._claim = FolderClaim(self.folder)
        self._claim.take(resuming=updates > 0)
        try:
            self.drop_after(updates)
        except BaseException:
            self._claim.release()
            raise

    def release(self) -> None:
        """Give a claimed folder back; it is claimed again for as long as a part is written."""
        if self._claim is not None and self._claim.held:
            self._claim.release()

    def check_held(self) -> None:
        """Raise CubeError if a later recording has taken the folder over."""
        if self._claim is not None:
            self._claim.check()

    def begin(self, layout: CubeLayout, updates: int) -> None:
        """Prepare to record a model from update `updates` + 1 on; delete later parts.

        Raises
        ------
        CubeError
            If the folder holds parts of another training, model or schema, or lacks parts of the
            updates before.
        """
        self._check_layout(layout, updates)
        self.drop_after(updates)

    def _check_layout(self, layout: CubeLayout, updates: int) -> None:
        parts = self.parts()
        if parts and not updates:
            another = "holds the parts of another training; give an empty folder"
            raise CubeError(f"{self.folder} {another}")
        # Later parts may be incomplete; they are deleted anyway.
        for _, _, path in [part for part in parts if part[1] <= updates][-1:]:
            with open_cube(path) as cube:
                difference = layout_difference(layout, layout_of(cube))
            if difference:
                raise CubeError(
                    f"{path} was recorded of another model or under another schema: "
                    f"{difference}. Give an empty folder"
                )

    def last_record(self, estimator: str) -> int:
        """Update of an estimator's newest record, 0 if there is none."""
        for _, _, path in reversed(self.parts()):
            with open_cube(path) as cube:
                recorded = parse_estimator(estimator).variable in cube
                steps = steps_of(cube, estimator).tolist() if recorded else []
            if steps:
                return int(steps[-1])
        return 0

    def drop_after(self, update: int) -> None:
        """Delete records later than a checkpoint, and unfinished temporary files.

        Raises
        ------
        CubeError
            If the parts do not hold every update from 1 to `update` exactly once.
        """
        parts = self.parts()
        later = [path for _, last, path in parts if last > update]
        self._check([part for part in parts if part[1] <= update], update)
        if self.folder.is_dir():
            for path in [*self.folder.glob(".*.tmp"), *later]:
                path.unlink()

    def path(self, first: int, last: int) -> Path:
        """Name of the part that holds the updates from `first` to `last`."""
        return self.folder / f"part-{first:09d}-{last:09d}.nc"

    def check_complete(self, update: int, start: int = 0) -> None:
        """Raise CubeError unless the parts hold the updates start + 1..update exactly once."""
        self._check(self.parts(), update, start)

    def _check(self, parts: list[tuple[int, int, Path]], update: int, start: int = 0) -> None:
        expected = start + 1
        for first, last, path in parts:
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
