"""Moving a model along the straight segment from one checkpoint to the next.

Three flat float32 vectors of the model's size are in memory: the parameters theta, the difference
between the two checkpoints (the step), and one gradient. No more than two checkpoints can be
computed from these: the end of the segment and its start.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from math import prod

import numpy as np
import torch
from torch import Tensor, nn

from losschange.errors import CheckpointError
from losschange.recording.allocation import CellSum, FlatVector
from losschange.recording.partition import Partition
from losschange.recording.side_effects import set_modes

from .matching import NameMap
from .models import Opener
from .series import Checkpoint
from .stored import StoredTensors
from .texts import Text

# Scalars that are read and multiplied at a time.
CHUNK = 1 << 20


class Walk:
    """Moves a model along segments between checkpoints, and evaluates texts there.

    Parameters
    ----------
    model : torch.nn.Module
        Its parameters become views of the flat vector theta, so it must not be used elsewhere.
    partition : Partition
        Of its trainable parameters.
    names : NameMap
    opener : callable (checkpoint) -> StoredTensors
    """

    def __init__(self, model: nn.Module, partition: Partition, names: NameMap, opener: Opener):
        self.model = model.eval()
        set_modes(model.modules(), training=False)
        self._open = opener
        self.names = names
        self.partition = partition
        self._parameters = dict(model.named_parameters())
        device = self._parameters[partition.names[0]].device
        self._theta = FlatVector(partition, device)
        for name, view in zip(partition.names, self._theta.views, strict=True):
            self._parameters[name].data = view
        self._step = FlatVector(partition, device)
        self._gradient = FlatVector(partition, device)
        self._cell_sum = CellSum(partition, device)
        self._share = 1.0
        self._loaded: Checkpoint | None = None

    @torch.no_grad()
    def stand(self, checkpoint: Checkpoint) -> None:
        """Set the parameters to those of a checkpoint, bit for bit."""
        if self._loaded == checkpoint and self._share == 1.0:
            return
        with self._open(checkpoint) as stored:
            for name, rows, place in self._pieces():
                self._theta.flat[place].copy_(self.names.read(stored, name, rows).reshape(-1))
            self._read_rest(stored, first=self._loaded is None)
        self._loaded, self._share = checkpoint, 1.0

    @torch.no_grad()
    def go(self, checkpoint: Checkpoint) -> None:
        """Load the next checkpoint; the step is its difference to the one loaded before."""
        with self._open(checkpoint) as stored:
            for name, rows, place in self._pieces():
                piece = self.names.read(stored, name, rows).reshape(-1)
                theta = self._theta.flat[place]
                self._step.flat[place].copy_(piece).sub_(theta)
                theta.copy_(piece)
            self._read_rest(stored, first=False)
        self._loaded, self._share = checkpoint, 1.0

    @torch.no_grad()
    def move(self, share: float) -> None:
        """Set the parameters to a point of the last segment: 0 is its start, 1 its end."""
        self._theta.flat.add_(self._step.flat, alpha=share - self._share)
        self._share = share

    def evaluate_with_slopes(self, text: Text) -> tuple[float, np.ndarray]:
        """Loss of a text at the present parameters, and its slopes (cells,) along the step.

        The slope of a cell is the sum over its scalars of gradient times step.

        Raises
        ------
        CheckpointError
            If the loss is not a finite number.
        """
        loss = self.evaluate(text)
        return loss, self._slopes(lambda name, rows, place: self._step.flat[place])

    @torch.no_grad()
    def slopes_towards(self, checkpoint: Checkpoint) -> np.ndarray:
        """Slopes (cells,) of the text evaluated last, along the segment to another checkpoint.

        The parameters stay as they are, and a piece of the other checkpoint is read at a time.
        """
        with self._open(checkpoint) as stored:

            def step(name: str, rows: slice, place: slice) -> Tensor:
                theta = self._theta.flat[place]
                return self.names.read(stored, name, rows).reshape(-1).to(theta) - theta

            return self._slopes(step)

    def evaluate(self, text: Text) -> float:
        """Loss of a text at the present parameters, nats per target token; keeps its gradient."""
        self._gradient.flat.zero_()
        # backward() then adds gradients to the flat vector itself, without a copy.
        for name, view in zip(self.partition.names, self._gradient.views, strict=True):
            self._parameters[name].grad = view
        total = 0.0
        for part in text.parts:
            loss = part(self.model)
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        if not math.isfinite(total):
            raise CheckpointError(
                f"the loss of the text {text.name!r} is {total} at or just before {self._loaded}; "
                "the checkpoint is damaged or diverged: leave it out"
            )
        return total

    @torch.no_grad()
    def _slopes(self, step: Callable[[str, slice, slice], Tensor]) -> np.ndarray:
        """Cell sums of the steps of all pieces times their gradients."""
        block = self.partition.block
        sums = torch.zeros_like(self._theta.flat[: self.partition.length // block])
        for name, rows, place in self._pieces():
            product = step(name, rows, place) * self._gradient.flat[place]
            product = nn.functional.pad(product, (0, -len(product) % block)).view(-1, block)
            first = place.start // block
            torch.sum(product, dim=1, out=sums[first : first + len(product)])
        return self._cell_sum.of_blocks(sums).cpu().numpy()

    def _pieces(self) -> Iterator[tuple[str, slice, slice]]:
        """Runs of rows of the parameters: (name, rows, place in a flat vector), from whole blocks.

        A matrix of words can be a large part of a model: it is never in memory whole beside it.
        """
        block = self.partition.block
        shapes = zip(self.partition.names, self.partition.shapes, self.partition.offsets)
        for name, shape, offset in shapes:
            height, width = (shape or (1,))[0], prod(shape[1:])
            rows = max(1, CHUNK // width // block) * block
            for first in range(0, height, rows):
                last = min(first + rows, height)
                yield name, slice(first, last), slice(offset + first * width, offset + last * width)

    def _read_rest(self, stored: StoredTensors, first: bool) -> None:
        """Frozen parameters and buffers: read from the first checkpoint, the same in all others."""
        rest = dict(self.model.named_buffers()) | {
            name: p for name, p in self._parameters.items() if name not in self.partition.names
        }
        for name, held in rest.items():
            aliases = self.names.aliases.get(name) or []
            stored_name = self.names.buffers.get(name) or next(iter(aliases), None)
            if stored_name is None:
                continue
            found = stored.read(stored_name).to(held.device, held.dtype)
            if first:
                held.data.copy_(found)
            elif held.is_floating_point() and not torch.equal(found, held):
                raise CheckpointError(
                    f"{stored.checkpoint}: {name} is no trained parameter, but differs from the "
                    "checkpoint before. What it does to the loss would be in no cell: such series "
                    "(batch normalisation, for one) cannot be recorded from its checkpoints"
                )
