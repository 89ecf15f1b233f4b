"""Token ids in fairseq's memory-mapped format, written without fairseq: PREFIX.bin, PREFIX.idx.

The .bin holds the ids of all sentences one after the other. The .idx holds a header (magic,
version, code of the ids' type, number of sentences), then the number of tokens of every sentence as
int32, then the start of every sentence in the .bin, in bytes, as int64. All numbers are
little-endian. This is the format of fairseq 0.12, `fairseq.data.indexed_dataset`; a test compares
the bytes with those of fairseq-preprocess.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np

MAGIC = b"MMIDIDX\x00\x00"
VERSION = 1
TYPE_CODES = {np.dtype("<u2"): 8, np.dtype("<u4"): 9}
# fairseq uses 16-bit ids only below this size, although 16 bits allow 65,536 symbols.
FIRST_VOCABULARY_OF_32_BITS = 65_500


def id_type(vocabulary: int) -> np.dtype:
    """The integer type that fairseq uses for the ids of a vocabulary of this size."""
    return np.dtype("<u2" if vocabulary < FIRST_VOCABULARY_OF_32_BITS else "<u4")


class TokenWriter:
    """Writes batches of sentences of token ids.

    Parameters
    ----------
    data : binary file
        Opened for writing; becomes the .bin.
    vocabulary : int
        Number of symbols; decides the type of the ids.
    """

    def __init__(self, data: BinaryIO, vocabulary: int) -> None:
        self._data = data
        self._type = id_type(vocabulary)
        self._sizes: list[np.ndarray] = []

    def add(self, ids: np.ndarray, sizes: np.ndarray) -> None:
        """Append sentences.

        Parameters
        ----------
        ids : int array (tokens,)
            Ids of all sentences, concatenated.
        sizes : int array (sentences,)
            Number of tokens of each sentence.
        """
        self._data.write(np.ascontiguousarray(ids, dtype=self._type).data)
        self._sizes.append(sizes.astype("<i4"))

    @property
    def sentences(self) -> int:
        """Number of sentences so far."""
        return sum(map(len, self._sizes))

    def write_index(self, path: Path) -> None:
        """Write the .idx of all added sentences."""
        sizes = np.concatenate([np.empty(0, dtype="<i4"), *self._sizes])
        starts = np.zeros(len(sizes), dtype="<i8")
        np.cumsum(sizes[:-1], out=starts[1:])
        starts *= self._type.itemsize
        with open(path, "wb") as file:
            file.write(MAGIC)
            file.write(struct.pack("<QBQ", VERSION, TYPE_CODES[self._type], len(sizes)))
            file.write(sizes.data)
            file.write(starts.data)
