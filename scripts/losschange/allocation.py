"""The mathematics of Loss Change Allocation on flat rows of scalars.

For one update with the step D = theta_{t+1} - theta_t and a gradient g of the loss (nats per
target token), the allocation of scalar i is g_i * D_i (Vázquez et al. 2022, §2.3); a cell's
allocation is the sum over its scalars. Everything here is deterministic: sums run along a fixed
tree, so the same numbers give the same bits on every run of one machine.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .partition import Partition

BRANCHES = 64


class CellSum:
    """Sums a padded row of scalars into cells, along a fixed tree.

    Blocks are summed in the row's own precision, everything above in float64.

    Parameters
    ----------
    partition : Partition
    device : torch device
    """

    def __init__(self, partition: Partition, device: torch.device | str):
        self.block = partition.block
        self.cells = len(partition.layout.cells)
        order = np.argsort(partition.block_cells, kind="stable")
        # Gathering is only needed where the blocks of one cell are not already neighbours.
        in_order = bool(np.all(np.diff(order) == 1))
        self._order = None if in_order else torch.from_numpy(order).to(device)
        owners = partition.block_cells[order]
        self._levels: list[Tensor] = []
        while len(owners) > self.cells or not self._levels:
            lengths, owners = _group(owners)
            self._levels.append(torch.from_numpy(lengths).to(device))

    def __call__(self, row: Tensor) -> Tensor:
        """Cell sums (cells,) in float64 of a row (length,)."""
        sums = row.view(-1, self.block).sum(dim=1).double()
        if self._order is not None:
            sums = sums[self._order]
        for lengths in self._levels:
            sums = torch.segment_reduce(sums, "sum", lengths=lengths, unsafe=True)
        return sums


def _group(owners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split runs of equal owners into groups of at most BRANCHES: their lengths and owners."""
    starts = np.flatnonzero(np.r_[True, np.diff(owners) != 0])
    ends = np.r_[starts[1:], len(owners)]
    lengths, groups = [], []
    for start, end in zip(starts, ends, strict=True):
        full, rest = divmod(int(end - start), BRANCHES)
        pieces = [BRANCHES] * full + ([rest] if rest else [])
        lengths += pieces
        groups += [owners[start]] * len(pieces)
    return np.array(lengths, dtype=np.int64), np.array(groups, dtype=np.int64)


def first_order(
    partition: Partition,
    before: Sequence[Tensor],
    after: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    cell_sum: CellSum,
    row: Tensor,
) -> Tensor:
    """First-order allocation of one update, in nats (Vázquez et al. 2022, §2.3).

    Parameters
    ----------
    partition : Partition
    before : sequence of Tensor
        Views of `row`, one per parameter, holding theta_t; overwritten.
    after : sequence of Tensor
        theta_{t+1}, aligned with `before`.
    gradients : sequence of Tensor or None
        dL/dtheta at theta_t; None where a parameter took no part in the loss.
    cell_sum : CellSum
    row : Tensor (partition.length,)
        The padded row behind `before`; its padding is zero and stays so.

    Returns
    -------
    Tensor (cells,), float64
    """
    torch._foreach_sub_(before, after)
    present = [
        (view, grad) for view, grad in zip(before, gradients, strict=True) if grad is not None
    ]
    for view, grad in zip(before, gradients, strict=True):
        if grad is None:
            view.zero_()
    if present:
        torch._foreach_mul_([view for view, _ in present], [grad for _, grad in present])
    # The row holds g * (theta_t - theta_{t+1}), the negative of the allocation.
    return cell_sum(row).neg_()
