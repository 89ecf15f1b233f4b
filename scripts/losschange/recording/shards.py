"""Models whose parameters are divided among processes by `fully_shard` (FSDP2).

Every process holds some rows of every parameter and the gradient of these rows, and sums the loss
changes of its own scalars into cells. The sums of all processes are then added up, so every process
knows the same cells, and the first of them writes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import gcd, prod
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, distributed

from losschange.errors import RecordingError

from .partition import Partition

Result = TypeVar("Result")


def local_tensor(tensor: Tensor) -> Tensor:
    """The rows of a tensor that this process holds; a tensor that is not divided as it is."""
    if not is_sharded(tensor):
        return tensor
    with torch.no_grad():
        # Without gradients this is the tensor that the process keeps, not a view of it.
        local: Tensor = tensor.to_local()  # type: ignore[attr-defined]
        return local


def is_sharded(tensor: Tensor) -> bool:
    """Whether a tensor is divided over a device mesh."""
    return hasattr(tensor, "device_mesh")


def find_shards(named: Sequence[tuple[str, Tensor]]) -> Shards | None:
    """The processes that share a model's parameters; None if every process has all of them.

    Parameters
    ----------
    named : sequence of (name, parameter)
        Those that are trained.

    Raises
    ------
    RecordingError
        If only some parameters are divided, or otherwise than `fully_shard` divides them on a
        mesh with one axis.
    """
    divided: list[tuple[str, Any]] = [(name, p) for name, p in named if is_sharded(p)]
    if not divided:
        return None
    if len(divided) < len(named):
        whole = next(name for name, p in named if not is_sharded(p))
        raise RecordingError(
            f"{divided[0][0]!r} is divided among processes and {whole!r} is not; call "
            "fully_shard on the whole model after its layers"
        )
    meshes = [parameter.device_mesh for _, parameter in divided]
    for (name, parameter), mesh in zip(divided, meshes):
        (place, *others) = parameter.placements
        if mesh != meshes[0] or others or not place.is_shard(0) or type(place).__name__ != "Shard":
            raise RecordingError(
                f"{name!r} is divided as {parameter.placements} over {mesh}; the recorder follows "
                "fully_shard, which divides all parameters by rows, on one mesh with one axis"
            )
    return Shards(meshes[0].get_group(), local_tensor(divided[0][1]).device)


@dataclass(frozen=True)
class Shards:
    """The processes among which the rows of all parameters are divided.

    Parameters
    ----------
    group : torch.distributed.ProcessGroup
    device : torch device
        Where the parameters lie.
    """

    group: Any
    device: torch.device

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""
        return distributed.get_rank(self.group)

    @property
    def processes(self) -> int:
        """How many there are."""
        return distributed.get_world_size(self.group)

    def add_up(self, numbers: Tensor) -> Tensor:
        """The sum of the tensors of all processes, the same in each; in place."""
        distributed.all_reduce(numbers, group=self.group)
        return numbers

    def mean(self, number: Tensor) -> Tensor:
        """The mean of the tensors of all processes."""
        return self.add_up(number.double()) / self.processes

    def on_first(self, function: Callable[[], Result]) -> Result:
        """Call a function in the first process; its result, or its exception, is that of all."""
        answer: list[Any] = [None, None]
        if self.rank == 0:
            try:
                answer[0] = function()
            except Exception as error:  # raised below, in every process
                answer[1] = error
        source = distributed.get_global_rank(self.group, 0)
        distributed.broadcast_object_list(answer, source, group=self.group, device=self.device)
        if answer[1] is not None:
            raise answer[1]
        result: Result = answer[0]
        return result

    def rows(self, rows: int) -> tuple[int, int]:
        """First and last row + 1 that this process holds of a tensor, as torch.chunk divides it."""
        most = -(-rows // self.processes)
        return min(self.rank * most, rows), min((self.rank + 1) * most, rows)

    def part_of(self, partition: Partition) -> Partition:
        """The scalars that this process holds, divided into the cells of the whole model.

        Every cell keeps at least one block, which may be padding, so that the sums of all
        processes have the same length. The layout, with its numbers of parameters, is that of the
        whole model.
        """
        places = []
        for shape in partition.shapes:
            first, last = self.rows(shape[0] if shape else 1)
            places.append((first * prod(shape[1:]), (last - first, *shape[1:])))
        blocks = [offset // partition.block for offset in (*partition.offsets, partition.length)]
        owners = [partition.block_cells[first:last] for first, last in zip(blocks[:-1], blocks[1:])]
        block = partition.block
        for (start, _), cells in zip(places, owners):
            if (cells != cells[0]).any():
                block = gcd(block, start)
        offsets, found, length = [], [], 0
        for (start, shape), cells in zip(places, owners):
            count = max(1, -(-prod(shape) // block))
            first = start // block
            fine = np.repeat(cells, partition.block // block)
            # A tensor of a single cell may begin anywhere in a block.
            own = fine[first : first + count] if (cells != cells[0]).any() else fine[:1]
            found.append(np.resize(own if len(own) else fine[:1], count))
            offsets.append(length)
            length += count * block
        absent = np.setdiff1d(np.arange(len(partition.layout.cells)), np.concatenate(found))
        return replace(
            partition,
            shapes=tuple(shape for _, shape in places),
            offsets=tuple(offsets),
            length=length + len(absent) * block,
            block=block,
            block_cells=np.concatenate([*found, absent]),
        )

    def scalars(self, parameter: Tensor, places: Tensor) -> Tensor:
        """Scalars of a whole parameter at flat places, the same in every process.

        Parameters
        ----------
        parameter : Tensor
            One that is divided.
        places : int Tensor (n,)
        """
        local = local_tensor(parameter).detach().reshape(-1)
        width = prod(parameter.shape[1:])
        first, last = (row * width for row in self.rows(parameter.shape[0]))
        here = (places >= first) & (places < last)
        found = torch.zeros(len(places), dtype=torch.float32, device=local.device)
        found[here] = local[(places[here] - first).to(local.device)].float()
        return self.add_up(found)

    def gradients(self, loss: Tensor, parameters: Sequence[Tensor]) -> list[Tensor | None]:
        """This process's rows of the gradient of the mean of all processes' losses.

        `fully_shard` gathers rows and averages gradients in backward() alone, not in
        torch.autograd.grad, so the training's own gradients are put aside for that time.

        Parameters
        ----------
        loss : Tensor
        parameters : sequence of Tensor
            Divided, as the model holds them.
        """
        kept = [parameter.grad for parameter in parameters]
        for parameter in parameters:
            parameter.grad = None
        try:
            loss.backward()  # type: ignore[no-untyped-call]
            return [None if p.grad is None else local_tensor(p.grad) for p in parameters]
        finally:
            for parameter, gradient in zip(parameters, kept, strict=True):
                parameter.grad = gradient
