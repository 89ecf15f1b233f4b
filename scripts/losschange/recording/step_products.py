"""The product of a step with its gradient, computed in one pass over the parameters.

Three passes, one each to subtract, multiply and sum, read the parameters from memory three times.
On a CPU this costs several times the arithmetic. Here they run over pieces that stay in the
processor's cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from .allocation import CellSum, FlatVector, FlatViews
from .partition import Partition

# Scalars in a piece, a multiple of every block: half a mebibyte.
PIECE = 1 << 17


class StepProducts:
    """Turns theta_t into the negative step, and sums its products with a gradient per block.

    The results have the bits of FlatVector.subtract, FlatVector.multiply and CellSum one after the
    other.

    Parameters
    ----------
    partition : Partition
    vector : FlatVector
        Holds theta_t when it is called, and theta_t - theta_{t+1} afterwards.
    cell_sum : CellSum
    separately : bool
        Only make the step.
    """

    def __init__(
        self, partition: Partition, vector: FlatVector, cell_sum: CellSum, separately: bool = False
    ):
        self._cell_sum, self._block = cell_sum, partition.block
        self._vector = vector
        device = vector.flat.device
        self._separately = separately or device.type != "cpu"
        self._products = torch.zeros(PIECE, dtype=torch.float32, device=device)
        blocks = partition.length // partition.block
        self._sums = torch.zeros(blocks, dtype=torch.float32, device=device)
        # Per parameter: its pieces as (first scalar, last + 1, the piece of the vector,
        # room for products, the same padded to whole blocks, sums of its blocks).
        self._pieces: list[list[tuple[int, int, Tensor, Tensor, Tensor, Tensor]]] = []
        if self._separately:
            return
        for offset, shape in zip(partition.offsets, partition.shapes, strict=True):
            size = prod(shape)
            self._pieces.append(
                [self._piece(vector, offset, first, size) for first in range(0, size, PIECE)]
            )

    def _piece(
        self, vector: FlatVector, offset: int, first: int, size: int
    ) -> tuple[int, int, Tensor, Tensor, Tensor, Tensor]:
        last = min(first + PIECE, size)
        blocks = -(-(last - first) // self._block)
        start = (offset + first) // self._block
        return (
            first,
            last,
            vector.flat[offset + first : offset + last],
            self._products[: last - first],
            self._products[: blocks * self._block],
            self._sums[start : start + blocks],
        )

    def __call__(
        self, parameters: Sequence[Tensor], gradients: Sequence[Tensor | None]
    ) -> Tensor | None:
        """LCA (cells,), float64; the vector becomes theta_t - theta_{t+1}.

        None where the pass cannot be made, because tensors are not contiguous or not on a CPU;
        then only the step is made.

        Parameters
        ----------
        parameters : sequence of Tensor
            theta_{t+1}.
        gradients : sequence of Tensor or None
            None for parameters without a gradient, whose LCA is 0.
        """
        if not self._fits(parameters, gradients):
            self._vector.subtract(parameters)
            return None
        for pieces, after, gradient in zip(self._pieces, parameters, gradients, strict=True):
            after = after.detach().view(-1)
            row = None if gradient is None else gradient.detach().view(-1)
            for first, last, step, products, padded, sums in pieces:
                step.sub_(after[first:last])
                if row is None:
                    sums.zero_()
                    continue
                torch.mul(step, row[first:last], out=products)
                if len(products) < len(padded):
                    padded[len(products) :].zero_()
                sums.copy_(self._cell_sum.block_sums(padded))
        return self._cell_sum.of_blocks(self._sums).neg_()

    def _fits(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> bool:
        if self._separately or isinstance(parameters, FlatViews):
            return False
        return not isinstance(gradients, FlatViews) and all(
            tensor is None or (tensor.device.type == "cpu" and tensor.is_contiguous())
            for tensors in (parameters, gradients)
            for tensor in tensors
        )
