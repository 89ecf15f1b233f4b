"""The recorder: looks at a training run before and after every update.

It knows tensors, not frameworks: whoever runs the training hands over the parameters that the
optimizer moves and the gradients that it used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor

from .allocation import CellSum, first_order
from .cube import SERIES
from .partition import Partition
from .parts import PartStore

DEVICE_STEPS = 256


class RecordingError(RuntimeError):
    """The training did something that would make the recorded numbers wrong."""


class Recorder:
    """Records the `batch` estimator of every update and keeps it in parts.

    Use `before_update` just before the optimizer moves the parameters, `after_update` just after,
    then `describe_update` with the numbers of the step; `flush` together with a checkpoint.

    Parameters
    ----------
    partition : Partition
    store : PartStore
        Where `flush` writes what was recorded since the last flush.
    device : torch device
        Where the parameters live. One float32 copy of them is kept there.
    updates : int
        Updates made before this recorder was attached (0, or those of the checkpoint).
    attributes : mapping
        Global attributes of the parts.

    Raises
    ------
    RecordingError
        Naming the update and the cell or parameter, if an allocation is not a finite number or
        the parameters are not those of the partition.
    """

    def __init__(
        self,
        partition: Partition,
        store: PartStore,
        device: torch.device | str = "cpu",
        updates: int = 0,
        attributes: Mapping[str, object] | None = None,
    ):
        self.partition = partition
        self.store = store
        self.updates = updates
        self.attributes = dict(attributes or {})
        self._row = torch.zeros(partition.length, device=device)
        self._views = [
            self._row[offset : offset + prod(shape)].view(shape)
            for offset, shape in zip(partition.offsets, partition.shapes, strict=True)
        ]
        self._cell_sum = CellSum(partition, device)
        # A ring on the device: the host is not waited for at every step.
        self._ring = torch.zeros(
            DEVICE_STEPS, len(partition.layout.cells), dtype=torch.float64, device=device
        )
        self._in_ring = 0
        self._blocks: list[np.ndarray] = []
        self._series: dict[str, list] = {name: [] for name in SERIES}
        self._valid_losses: list[tuple[int, float]] = []
        self._pending = False

    def before_update(self, parameters: Sequence[Tensor]) -> None:
        """Keep theta_t. `parameters` are float32 and in the order of the partition's names."""
        shapes = tuple(tuple(parameter.shape) for parameter in parameters)
        if shapes != self.partition.shapes:
            raise RecordingError(_difference(self.partition, shapes, self.updates + 1))
        torch._foreach_copy_(self._views, list(parameters))
        self._pending = True

    def after_update(
        self,
        parameters: Sequence[Tensor],
        gradients: Sequence[Tensor | None],
        scale: float | Tensor = 1.0,
    ) -> None:
        """Allocate the update that was just made.

        Parameters
        ----------
        parameters : sequence of Tensor
            theta_{t+1}.
        gradients : sequence of Tensor or None
            Gradient that the optimizer used, of the loss in nats per target token once
            multiplied by `scale`.
        scale : float or scalar Tensor
            What the gradients must still be multiplied by.
        """
        if not self._pending:
            raise RecordingError(f"update {self.updates + 1}: after_update without before_update")
        self._pending = False
        cells = first_order(
            self.partition, self._views, parameters, gradients, self._cell_sum, self._row
        )
        self._ring[self._in_ring] = cells * scale
        self._in_ring += 1
        self.updates += 1
        if self._in_ring == DEVICE_STEPS:
            self._empty_ring()

    def describe_update(self, **series: float | Tensor) -> None:
        """Add the per-step numbers (names of losschange.cube.SERIES) of the last update."""
        for name, column in self._series.items():
            column.append(series.get(name, float("nan")))

    def add_valid_loss(self, loss: float) -> None:
        """Add a validation loss, nats per target token, measured after the last update."""
        self._valid_losses.append((self.updates, float(loss)))

    def flush(self) -> None:
        """Write everything recorded since the last flush as one part."""
        self._empty_ring()
        if not self._blocks:
            return
        values = np.concatenate(self._blocks)
        self.store.write(
            self.updates - len(values) + 1,
            self.partition.layout,
            {name: _to_numpy(column) for name, column in self._series.items()},
            {"batch": values},
            self._valid_losses,
            self.attributes,
        )
        self._blocks = []
        self._series = {name: [] for name in SERIES}
        self._valid_losses = []

    def _empty_ring(self) -> None:
        if not self._in_ring:
            return
        block = self._ring[: self._in_ring].cpu().numpy().copy()
        first = self.updates - self._in_ring + 1
        wrong = np.argwhere(~np.isfinite(block))
        if len(wrong):
            row, cell = wrong[0]
            raise RecordingError(
                f"update {first + row}: the loss change of {self.partition.layout.cells[cell]} is "
                f"{block[row, cell]}; the gradient or the step was not finite"
            )
        self._in_ring = 0
        self._blocks.append(block)


def _difference(partition: Partition, shapes: tuple, update: int) -> str:
    """What differs between the parameters handed over and those of the partition."""
    if len(shapes) != len(partition.shapes):
        return (
            f"update {update}: {len(shapes)} parameters, but the recorder was made for "
            f"{len(partition.shapes)}; make a new recorder when parameters come or go"
        )
    for name, expected, found in zip(partition.names, partition.shapes, shapes, strict=True):
        if expected != found:
            return f"update {update}: {name!r} has shape {found}, expected {expected}"
    return f"update {update}: the parameters changed"


def _to_numpy(column: list) -> np.ndarray:
    """A column of floats and scalar tensors as float32, with one copy from the device."""
    if any(isinstance(value, Tensor) for value in column):
        device = next(value.device for value in column if isinstance(value, Tensor))
        column = torch.stack(
            [torch.as_tensor(v, dtype=torch.float64, device=device).reshape(()) for v in column]
        ).cpu()
    return np.asarray(column, dtype=np.float32)
