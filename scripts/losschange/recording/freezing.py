"""Freeze cells: whatever an optimizer's step does to them is undone before anything sees it.

The parameters of a frozen cell, and the optimizer's moments of them, are copied before every step
and put back after it. So they do not move by one bit, whatever the optimizer adds (gradient,
momentum, weight decay), and no other parameter notices: its step does not depend on theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor

from losschange.cube.layout import Cell
from losschange.errors import RecordingError

from .partition import Partition

# A tensor per parameter, in the order of a partition's names.
Vector = Sequence[Tensor]


class CellValues:
    """Copies of the values of some cells, to be put back later.

    Parameters
    ----------
    partition : Partition
    cells : iterable of Cell
    device : torch device
        Where the vectors are.

    Raises
    ------
    RecordingError
        If the partition lacks one of the cells; names it.
    """

    def __init__(self, partition: Partition, cells: Iterable[Cell], device: torch.device | str):
        numbers = {cell: number for number, cell in enumerate(partition.layout.cells)}
        wanted = list(cells)
        unknown = next((cell for cell in wanted if cell not in numbers), None)
        if unknown is not None:
            raise RecordingError(f"the model has no {unknown}, so it cannot be frozen")
        blocks = np.isin(partition.block_cells, [numbers[cell] for cell in wanted])
        chosen = np.repeat(blocks, partition.block)
        # Per parameter: where its chosen numbers are in the flattened tensor.
        self._places = []
        for number, (offset, shape) in enumerate(
            zip(partition.offsets, partition.shapes, strict=True)
        ):
            found = np.flatnonzero(chosen[offset : offset + prod(shape)])
            if len(found):
                self._places.append((number, torch.from_numpy(found).to(device)))
        self._kept: list[list[Tensor]] = []

    @torch.no_grad()
    def keep(self, vectors: Sequence[Vector]) -> None:
        """Copy the cells' values out of some vectors; earlier copies are forgotten."""
        self._kept = [
            [vector[number].reshape(-1)[places] for number, places in self._places]
            for vector in vectors
        ]

    @torch.no_grad()
    def put_back(self, vectors: Sequence[Vector]) -> None:
        """Write the copies into some vectors, in the order of `keep`.

        A vector that did not exist yet at `keep` (the moments before the first step) gets zeros.
        """
        for place, vector in enumerate(vectors):
            kept = self._kept[place] if place < len(self._kept) else None
            for position, (number, places) in enumerate(self._places):
                flat = vector[number].detach().view(-1)
                if kept is None:
                    flat[places] = 0
                else:
                    flat[places] = kept[position]
