"""Records of one estimator, held on the device until the host copies them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor

from losschange.cube.parts import Records

DEVICE_STEPS = 256


class RecordBuffer:
    """A table of records on the device, so that the host need not wait for every update.

    Parameters
    ----------
    cells : int
        Length of a record's LCA.
    details : mapping of name in losschange.cube.format.DETAILS to shape
    device : torch device
    """

    def __init__(
        self, cells: int, details: Mapping[str, Sequence[int]], device: torch.device | str
    ):
        self.cells = cells
        self.details = {name: tuple(shape) for name, shape in details.items()}
        width = cells + sum(prod(shape) for shape in self.details.values())
        self._table = torch.zeros(DEVICE_STEPS, width, dtype=torch.float64, device=device)
        self._steps: list[int] = []

    def __len__(self) -> int:
        return len(self._steps)

    @property
    def full(self) -> bool:
        """Whether it must be drained before the next record."""
        return len(self._steps) == DEVICE_STEPS

    def add(self, step: int, columns: Sequence[Tensor]) -> None:
        """Add the record of an update: LCA (cells,), then the details, flat, in their order."""
        row = self._table[len(self._steps)]
        if len(columns) == 1:
            row.copy_(columns[0])
        else:
            torch.cat([column.reshape(-1) for column in columns], out=row)
        self._steps.append(step)

    def drain(self) -> Records:
        """Everything added since the last call, on the host."""
        table = self._table[: len(self._steps)].cpu().numpy().copy()
        steps, self._steps = np.array(self._steps, dtype=np.int64), []
        details, start = {}, self.cells
        for name, shape in self.details.items():
            end = start + prod(shape)
            details[name] = table[:, start:end].reshape(len(table), *shape)
            start = end
        return Records(steps, table[:, : self.cells], details)
