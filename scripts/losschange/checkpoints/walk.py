"""Moving a model along the straight segment from one checkpoint to the next.

Three flat float32 vectors of the model's size are in memory: the parameters theta, the difference
between the two checkpoints (the step), and one gradient. No more than two checkpoints can be
computed from these: the end of the segment and its start.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from losschange.errors import CheckpointError
from losschange.recording.allocation import CellSum, FlatVector
from losschange.recording.partition import Partition

from .matching import NameMap
from .models import Opener
from .series import Checkpoint
from .stored import StoredTensors
from .texts import Text

# Scalars that are multiplied at a time, a multiple of every block.
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
            for name, view in zip(self.partition.names, self._theta.views, strict=True):
                view.copy_(self.names.read(stored, name))
            self._read_rest(stored, first=self._loaded is None)
        self._loaded, self._share = checkpoint, 1.0

    @torch.no_grad()
    def go(self, checkpoint: Checkpoint) -> None:
        """Load the next checkpoint; the step is its difference to the one loaded before."""
        with self._open(checkpoint) as stored:
            places = zip(self.partition.names, self._theta.views, self._step.views, strict=True)
            for name, theta, step in places:
                tensor = self.names.read(stored, name)
                step.copy_(tensor).sub_(theta)
                theta.copy_(tensor)
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
        pairs = zip(self._step.views, self._gradient.views, strict=True)
        return loss, self._sums([(step, None, gradient) for step, gradient in pairs])

    @torch.no_grad()
    def slopes_towards(self, checkpoint: Checkpoint) -> np.ndarray:
        """Slopes (cells,) of the text evaluated last, along the segment to another checkpoint.

        The parameters stay as they are, and one tensor of the other checkpoint is read at a time.
        """
        with self._open(checkpoint) as stored:
            places = zip(self.partition.names, self._theta.views, self._gradient.views, strict=True)
            return self._sums(
                (self.names.read(stored, name), theta, gradient) for name, theta, gradient in places
            )

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
    def _sums(self, tensors: Iterable[tuple[Tensor, Tensor | None, Tensor]]) -> np.ndarray:
        """Cell sums of (tensor less origin) times gradient, for each (tensor, origin, gradient)."""
        block = self.partition.block
        sums = torch.zeros(
            self.partition.length // block, device=self._theta.flat.device, dtype=torch.float32
        )
        for offset, (tensor, origin, gradient) in zip(self.partition.offsets, tensors):
            flat = tensor.reshape(-1)
            for start in range(0, gradient.numel(), CHUNK):
                piece = slice(start, start + CHUNK)
                product = flat[piece].to(sums.device, torch.float32)
                if origin is not None:
                    product = product - origin.view(-1)[piece]
                product = product * gradient.view(-1)[piece]
                padding = -len(product) % block
                if padding:
                    product = nn.functional.pad(product, (0, padding))
                first = (offset + start) // block
                rows = product.view(-1, block)
                torch.sum(rows, dim=1, out=sums[first : first + len(rows)])
        return self._cell_sum.of_blocks(sums).cpu().numpy()

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
