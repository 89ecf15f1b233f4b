"""Check that nothing moves the parameters between two updates.

A move outside the optimizer's step is in no cell, so the cells would no longer sum to the loss
change. Comparing all scalars would cost a pass over them, so a few of each parameter are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor

from losschange.errors import RecordingError

from .allocation import FlatVector
from .partition import Partition
from .record_buffer import DEVICE_STEPS

SAMPLES = 64  # per parameter
TOLERANCE = 1e-6  # of the larger of theta_t and the step, which is rounded when it is subtracted


class MovementCheck:
    """Compares samples of theta after one update with those before the next.

    Parameters
    ----------
    partition : Partition
    device : torch device
    """

    def __init__(self, partition: Partition, device: torch.device | str):
        self._partition = partition
        places = [
            offset + np.linspace(0, max(prod(shape) - 1, 0), SAMPLES).round()
            for offset, shape in zip(partition.offsets, partition.shapes, strict=True)
        ]
        self._places = torch.from_numpy(np.concatenate(places).astype(np.int64)).to(device)
        self._moved = torch.zeros(DEVICE_STEPS, len(places), dtype=torch.bool, device=device)
        self._count = 0
        self._before: Tensor | None = None
        self._expected: Tensor | None = None
        self._allowed: Tensor | None = None

    def before(self, parameters: Tensor) -> None:
        """Take samples of the flat vector theta_t (length,)."""
        self._before = parameters[self._places]
        if self._expected is not None and self._allowed is not None:
            difference = (self._before - self._expected).abs_()
            moved = difference > self._allowed
            torch.any(moved.view(-1, SAMPLES), dim=1, out=self._moved[self._count])

    def after(self, negative_step: Tensor) -> None:
        """Take samples of the flat vector theta_t - theta_{t+1} (length,)."""
        assert self._before is not None, "before() comes first"
        step = negative_step[self._places]
        self._allowed = torch.maximum(self._before.abs(), step.abs()).mul_(TOLERANCE)
        self._expected = self._before.sub_(step)
        self._count += 1

    def moved(self, parameters: Sequence[Tensor]) -> str | None:
        """Name of a parameter that is not where the last update put it; None if all are there.

        Parameters
        ----------
        parameters : sequence of Tensor
            In the order of the partition's names.
        """
        if self._expected is None or self._allowed is None:
            return None
        samples = FlatVector(self._partition, self._places.device).copy(parameters).flat
        difference = (samples[self._places] - self._expected).abs_()
        found = torch.any((difference > self._allowed).view(-1, SAMPLES), dim=1).nonzero()
        return self._partition.names[int(found[0])] if len(found) else None

    def check_still(self, parameters: Sequence[Tensor], update: int) -> None:
        """Raise RecordingError unless parameters are where the last update put them.

        Parameters
        ----------
        parameters : sequence of Tensor
        update : int
            Number of the last update.
        """
        name = self.moved(parameters)
        if name is not None:
            raise RecordingError(
                f"{name!r} was moved after update {update}, outside the optimizer's step, so the "
                "open intervals cannot be ended. Put the parameters back to what the last update "
                "made of them, and end the recording again"
            )

    def check(self, first: int) -> None:
        """Raise RecordingError if a parameter moved before one of the updates from `first` on."""
        found = np.argwhere(self._moved[: self._count].cpu().numpy())
        self._moved.zero_()
        self._count = 0
        if len(found):
            update, name = found[0][0], self._partition.names[found[0][1]]
            raise RecordingError(
                f"{name!r} was moved after update {first + update - 1} and "
                f"before update {first + update}, outside the optimizer's step. Its loss change "
                "is in no cell: record inside of whatever moves it, or take it out"
            )
