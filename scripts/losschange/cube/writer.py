"""Writing an LCA cube in one streaming pass."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

import netCDF4
import numpy as np

from .disk import lead_nowhere, reach_the_disk
from .estimators import parse_estimator
from .format import (
    CELL_AXES,
    CONVENTIONS,
    DETAILS,
    FORMAT_VERSION,
    NATS,
    SERIES,
    STEPS_PER_CHUNK,
    detail_variable,
    series_meaning,
)
from .layout import CubeError, CubeLayout
from .word_bins import WordBins

# Tries to close a file that cannot be written.
MOST_CLOSES = 20


class CubeWriter:
    """Writes one cube in a streaming pass, under a temporary name until it is complete.

    Parameters
    ----------
    path : path
        Final name; put in place only when the `with` block ends without an exception.
    layout : CubeLayout
    steps : int array (steps,)
        Numbers of the updates, ascending, 1-based.
    attributes : mapping
        Global attributes (text or numbers).
    estimator_steps : mapping of estimator name to int array
        The updates at which each estimator was recorded; "batch" stands at every step, unless
        its updates are given as None: then the cube has no "batch".
    valid_losses : sequence of (step, nats)
        Validation losses, step 0 being the model before training.
    details : mapping of estimator name to sequence of str
        Names of losschange.cube.format.DETAILS that stand beside the estimator's records.
    word_bins : WordBins, optional
        Needed for the detail "vocabulary".
    rates : sequence of str
        Names of learning rates of groups, beside SERIES.

    Raises
    ------
    CubeError
        If the steps do not ascend.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        layout: CubeLayout,
        steps: np.ndarray,
        attributes: Mapping[str, object],
        estimator_steps: Mapping[str, np.ndarray | None] | None = None,
        valid_losses: Sequence[tuple[int, float]] = (),
        details: Mapping[str, Sequence[str]] | None = None,
        word_bins: WordBins | None = None,
        rates: Sequence[str] = (),
    ):
        self.path = Path(path)
        self.layout = layout
        self.steps = np.asarray(steps, dtype=np.int64)
        self.attributes = dict(attributes)
        named = {"batch": self.steps, **(estimator_steps or {})}
        self.estimator_steps = {name: at for name, at in named.items() if at is not None}
        self.valid_losses = list(valid_losses)
        self.details = {name: tuple(found) for name, found in (details or {}).items()}
        self.word_bins = word_bins
        self.rates = tuple(rates)
        if np.any(np.diff(self.steps) <= 0):
            raise CubeError(f"{self.path}: the steps of a cube must ascend")
        self._file: Any = None  # a netCDF4.Dataset between __enter__ and __exit__
        self._temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")

    def __enter__(self) -> CubeWriter:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = netCDF4.Dataset(self._temporary, "w", format="NETCDF4")
            self._write_static()
            self._write_word_bins()
            self._create_variables()
        except BaseException as failure:
            self._give_up(failure)
        return self

    def write(
        self,
        start: int,
        series: Mapping[str, np.ndarray] | None = None,
        values: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Write a run of steps.

        Parameters
        ----------
        start : int
            Position (not number) of the first step along the axis of what is written.
        series : mapping of name in SERIES, or of a rate, to array (n,)
        values : mapping of estimator name to array (n, cells), nats per target token
        """
        for name, column in (series or {}).items():
            self._file[name][start : start + len(column)] = column
        for name, block in (values or {}).items():
            variable = parse_estimator(name).variable
            self._file[variable][start : start + len(block)] = self.layout.to_grid(block)

    def write_details(self, start: int, estimator: str, details: Mapping[str, np.ndarray]) -> None:
        """Write what stands beside a run of an estimator's records.

        Parameters
        ----------
        start : int
            Position of the first record along the estimator's axis.
        estimator : str
        details : mapping of name in DETAILS to array (n,), (n, cells) or (n, matrices, bins)
        """
        for name, block in details.items():
            on_cells = DETAILS[name][0] == CELL_AXES
            variable = self._file[detail_variable(name, estimator)]
            variable[start : start + len(block)] = self.layout.to_grid(block) if on_cells else block

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is not None:
                raise error
            self._file.close()
            reach_the_disk(self._temporary)
            os.replace(self._temporary, self.path)
        except BaseException as failure:
            self._give_up(failure)

    def _give_up(self, failure: BaseException) -> NoReturn:
        """Remove the unfinished file and raise the failure, that of the disk as a sentence."""
        self._abandon()
        # netCDF4 raises RuntimeError("NetCDF: HDF error") when the disk is full.
        if not isinstance(failure, OSError) and type(failure) is not RuntimeError:
            raise failure
        raise CubeError(
            f"{self.path} could not be written ({failure}); is there room for it, and may you "
            "write there? What was to be written is kept: try again"
        ) from failure

    def _abandon(self) -> None:
        """Close and remove the unfinished file, even if closing fails because the disk is full."""
        tries = 0
        while self._file is not None and self._file.isopen() and tries < MOST_CLOSES:
            tries += 1
            try:
                self._file.close()
            except RuntimeError:
                # The library keeps the file open, and an open file uses disk space even after it
                # was removed. So redirect the library's remaining writes to nowhere; closing may
                # need several tries until its buffers are empty.
                lead_nowhere(self._temporary)
        self._temporary.unlink(missing_ok=True)

    def _write_static(self) -> None:
        out = self._file
        layers, components, heads = self.layout.shape
        for name, size in (("layer", layers), ("component", components), ("head", heads)):
            out.createDimension(name, size)
        out.createDimension("step", len(self.steps))
        out.createDimension("valid_step", len(self.valid_losses))
        self._integers("step", "step", self.steps, "number of the update, 1-based")
        self._integers("layer", "layer", np.arange(layers), "depth, 0 = embeddings")
        self._text("component", "component", self.layout.components)
        self._text("head", "head", ["none", *map(str, range(self.layout.heads))])
        self._text("stack", "layer", self.layout.stacks, encoded=False)
        self._text("label", "layer", self.layout.labels, encoded=False)
        valid_steps = np.array([step for step, _ in self.valid_losses], dtype=np.int64)
        self._integers(
            "valid_step", "valid_step", valid_steps, "update after which it was measured"
        )
        valid = out.createVariable("valid_loss", "f8", ("valid_step",))
        valid.setncatts({"units": "1", "long_name": f"mean validation loss, {NATS}"})
        valid[:] = np.array([loss for _, loss in self.valid_losses], dtype=np.float64)
        counts = np.zeros(self.layout.shape, dtype=np.int64)
        counts[self.layout.index] = self.layout.n_parameters
        count = out.createVariable("n_parameters", "i8", ("layer", "component", "head"))
        count.setncatts({"units": "1", "long_name": "trainable scalars in the cell"})
        count[:] = counts
        model = self.attributes.get("model")
        out.setncatts(
            {
                "title": "Loss change allocation" + (f" of {model}" if model else ""),
                # Without a date, so that equal trainings give equal bytes.
                "history": "recorded during the training by losschange",
                **self.attributes,
                # After what was copied from a part, which may be of an older format.
                "Conventions": CONVENTIONS,
                "cube_format": np.int64(FORMAT_VERSION),
            }
        )

    def _create_variables(self) -> None:
        for name in (*SERIES, *self.rates):
            variable = self._file.createVariable(
                name, "f4", ("step",), zlib=True, shuffle=True, fill_value=np.float32(np.nan)
            )
            variable.setncatts({"units": "1", "long_name": series_meaning(name)})
        for name, steps in self.estimator_steps.items():
            axis = "step"
            if not np.array_equal(steps, self.steps):
                axis = f"step_{name}"
                self._file.createDimension(axis, len(steps))
                self._integers(axis, axis, np.asarray(steps), f"updates recorded by {name}")
            estimator = parse_estimator(name)
            meaning = f"loss change allocation {NATS}: {estimator.description}"
            about = {"long_name": meaning, "rule": estimator.rule, "text": estimator.text}
            self._records(estimator.variable, "f4", (axis, *CELL_AXES), about)
            for detail in self.details.get(name, ()):
                axes, kind, meaning = DETAILS[detail]
                about = {"long_name": f"{meaning} (estimator {name})"}
                self._records(detail_variable(detail, name), kind, (axis, *axes), about)

    def _records(self, name: str, kind: str, axes: Sequence[str], about: dict[str, str]) -> None:
        """Create a variable along an estimator's steps; a chunk holds whole records."""
        first, *others = (len(self._file.dimensions[axis]) for axis in axes)
        variable = self._file.createVariable(
            name,
            kind,
            axes,
            zlib=True,
            complevel=1,
            shuffle=True,
            chunksizes=(max(1, min(STEPS_PER_CHUNK, first)), *others),
            fill_value=np.dtype(kind).type(np.nan),
        )
        if axes[1:] == CELL_AXES:
            about = {**about, "coordinates": "stack label"}
        variable.setncatts({"units": "1", **about})

    def _write_word_bins(self) -> None:
        """The bins' own axes and sizes."""
        if self.word_bins is None:
            return
        out, bins = self._file, self.word_bins
        out.createDimension("matrix", len(bins.matrices))
        out.createDimension("frequency_bin", len(bins.mass))
        self._text("matrix", "matrix", bins.matrices)
        numbers = np.arange(len(bins.mass))
        self._integers(
            "frequency_bin", "frequency_bin", numbers, "words by frequency, 0 = most frequent"
        )
        self._integers("n_words", "frequency_bin", bins.words, "words in the bin")
        mass = out.createVariable("text_share", "f8", ("frequency_bin",))
        mass.setncatts(
            {
                "units": "1",
                "long_name": "share of the training text that the bin's words make up",
                "division": f"bins of equal {bins.division}",
            }
        )
        mass[:] = bins.mass

    def _integers(self, name: str, axis: str, numbers: np.ndarray, meaning: str) -> None:
        variable = self._file.createVariable(name, "i8", (axis,))
        variable.setncatts({"units": "1", "long_name": meaning})
        variable[:] = numbers

    def _text(self, name: str, axis: str, words: Sequence[str], encoded: bool = True) -> None:
        """Text in characters of a fixed width: strings of any length are not compressed.

        xarray makes Python objects of text with an encoding, and dask cannot divide these into
        chunks by itself. An axis is never divided; what stands beside one is not `encoded`.
        """
        width = max(len(word) for word in words)
        width_axis = f"characters_{width}"
        if width_axis not in self._file.dimensions:
            self._file.createDimension(width_axis, width)
        variable = self._file.createVariable(name, "S1", (axis, width_axis))
        variable[:] = np.array(words, dtype=f"S{width}").view("S1").reshape(len(words), width)
        if encoded:
            variable._Encoding = "utf-8"
