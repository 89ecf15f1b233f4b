"""The states of one model: a NetCDF file with the dimensions layer, word and d, in half precision.

NetCDF has no type for half precision, so the file holds its 16 bits as unsigned integers; the
attribute `encoding` says so, and StatesReader turns them back. 20,000 words of 14 layers and 512
dimensions take 287 MB.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import netCDF4
import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import RepresentationError

ENCODING = "bits of IEEE 754 binary16"
WORDS_PER_CHUNK = 1_024
LARGEST = float(np.finfo(np.float16).max)


class StatesWriter:
    """Writes states block by block, under a temporary name until all of them are there.

    Parameters
    ----------
    path : path
        Final name; put in place only when the `with` block ends without an exception.
    layers : sequence of str
        Names of the layers: "0" after embedding and positions, "1" … "N", "norm" after a final
        norm.
    words, width : int
        Number of words, and of dimensions.
    attributes : mapping of str to text or number
        Global attributes.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        layers: Sequence[str],
        words: int,
        width: int,
        attributes: Mapping[str, object] | None = None,
    ):
        self.path = Path(path)
        self.layers = tuple(layers)
        self.words, self.width = words, width
        self._attributes = dict(attributes or {})
        self._temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        self._written = np.zeros((len(self.layers), words), dtype=bool)

    def __enter__(self) -> StatesWriter:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = netCDF4.Dataset(self._temporary, "w", format="NETCDF4")
        try:
            self._file.setncatts({"encoding": ENCODING, **self._attributes})
            for name, size in (
                ("layer", len(self.layers)),
                ("word", self.words),
                ("d", self.width),
            ):
                self._file.createDimension(name, size)
            self._file.createVariable("layer", str, ("layer",))[:] = np.array(
                self.layers, dtype=object
            )
            chunk = (1, max(1, min(WORDS_PER_CHUNK, self.words)), self.width)
            self._file.createVariable("states", "u2", ("layer", "word", "d"), chunksizes=chunk)
            self._file["states"].set_auto_mask(False)
            self._file.set_fill_off()
        except BaseException:
            self._abandon()
            raise
        return self

    def write(self, layer: str, start: int, states: ArrayLike) -> None:
        """Write the states of consecutive words.

        Parameters
        ----------
        layer : str
        start : int
            The first of these words.
        states : array (words, d)

        Raises
        ------
        RepresentationError
            If the layer is unknown, the block does not fit, or a number is not finite or too
            large for half precision.
        """
        block = np.asarray(states)
        place = _place(layer, self.layers, self.path)
        if block.ndim != 2 or block.shape[1] != self.width:
            raise RepresentationError(
                f"{self.path}: a block of layer {layer} has the shape {block.shape}; expected "
                f"(words, {self.width})"
            )
        if start < 0 or start + len(block) > self.words:
            raise RepresentationError(
                f"{self.path}: a block of layer {layer} holds the words {start} to "
                f"{start + len(block) - 1}, but there are {self.words}"
            )
        wrong = np.flatnonzero(~(np.abs(block) <= LARGEST).all(axis=1))
        if len(wrong):
            raise RepresentationError(
                f"{self.path}: layer {layer}, word {start + wrong[0]} holds a number that is not "
                f"finite or larger than {LARGEST:.0f}, which half precision cannot hold"
            )
        bits = np.ascontiguousarray(block, dtype=np.float16).view(np.uint16)
        self._file["states"][place, start : start + len(block)] = bits
        self._written[place, start : start + len(block)] = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._abandon()
            return
        if not self._written.all():
            self._abandon()
            place, word = np.argwhere(~self._written)[0]
            raise RepresentationError(
                f"{self.path}: {(~self._written).sum()} states were never written, the first of "
                f"them layer {self.layers[place]}, word {word}"
            )
        try:
            self._file.close()
            os.replace(self._temporary, self.path)
        except BaseException:
            self._temporary.unlink(missing_ok=True)
            raise

    def _abandon(self) -> None:
        try:
            self._file.close()
        finally:
            self._temporary.unlink(missing_ok=True)


class StatesReader:
    """Reads the states of a model, one layer or block of words at a time.

    Parameters
    ----------
    path : path

    Attributes
    ----------
    layers : tuple of str
    words, width : int
    attributes : dict

    Raises
    ------
    RepresentationError
        If the file is not there or does not hold states.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        try:
            self._file = netCDF4.Dataset(self.path)
        except OSError as error:
            raise RepresentationError(f"{self.path} cannot be opened: {error}") from error
        self.attributes = {name: self._file.getncattr(name) for name in self._file.ncattrs()}
        if self.attributes.get("encoding") != ENCODING or "states" not in self._file.variables:
            self._file.close()
            raise RepresentationError(f"{self.path} does not hold states as StatesWriter writes")
        self._states = self._file["states"]
        self._states.set_auto_mask(False)
        self.layers = tuple(str(name) for name in self._file["layer"][:])
        _, self.words, self.width = self._states.shape

    def __enter__(self) -> StatesReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def layer(self, name: str, rows: ArrayLike | slice | None = None) -> NDArray[np.float32]:
        """States of one layer (words, d).

        Parameters
        ----------
        name : str
        rows : int array or slice, optional
            Words, in any order; by default all.

        Raises
        ------
        RepresentationError
            If there is no such layer.
        """
        place = _place(name, self.layers, self.path)
        if rows is None or isinstance(rows, slice):
            bits = self._states[place, slice(None) if rows is None else rows]
        else:
            # A list of rows is slow in HDF5; the layer is read and then sampled.
            bits = self._states[place][np.asarray(rows)]
        return np.asarray(bits).view(np.float16).astype(np.float32)

    def blocks(self, name: str, size: int = 4_096) -> Iterator[NDArray[np.float32]]:
        """States of one layer in blocks of words."""
        for start in range(0, self.words, size):
            yield self.layer(name, slice(start, start + size))


def _place(layer: str, layers: Sequence[str], path: Path) -> int:
    if layer not in layers:
        raise RepresentationError(f"{path}: there is no layer {layer!r}; {', '.join(layers)} are")
    return layers.index(layer)
