"""The mathematics of Loss Change Allocation on flat vectors of scalars.

For a step D = theta_{t+1} - theta_t and a gradient g of the loss (nats per target token), the
allocation of scalar i is q_i * D_i, where q_i is a quadrature of g_i along the step: g at its
start (Vázquez et al. 2022, §2.3), the trapezoid rule, or Simpson's (Lan et al. 2019). A cell's
allocation is the sum over its scalars. Everything here is deterministic: sums run along a fixed
tree, so the same numbers give the same bits on every run of one machine.

Signs: `FlatVector.subtract` turns theta_t into theta_t - theta_{t+1} = -D in place, because the
other order would need a second copy of the parameters or one more pass over them. A product of it
with a gradient is therefore -LCA of every parameter. Negation loses no bits, so it is done last
and in two places alone: `CellSum.allocations` for cells, `ExtraReductions` for details.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor

from losschange.cube.word_bins import WordBins

from .partition import Partition

BRANCHES = 64


class CellSum:
    """Sums a padded vector of scalars into cells, along a fixed tree.

    Blocks are summed in the vector's own precision, everything above in float64.

    Parameters
    ----------
    partition : Partition
    device : torch device
    add_up : callable (tensor) -> tensor, optional
        Adds the sums of all processes, where each holds a part of the scalars.
    """

    def __init__(
        self,
        partition: Partition,
        device: torch.device | str,
        add_up: Callable[[Tensor], Tensor] | None = None,
    ):
        self._add_up = add_up
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

    def __call__(self, vector: Tensor) -> Tensor:
        """Cell sums (cells,) in float64 of a padded vector (length,)."""
        return self.of_blocks(self.block_sums(vector))

    def of_blocks(self, sums: Tensor) -> Tensor:
        """Cell sums (cells,) in float64 of sums of blocks (length / block,)."""
        if self._order is not None:
            sums = sums.index_select(0, self._order)
        sums = sums.double()
        for lengths in self._levels:
            sums = torch.segment_reduce(sums, "sum", lengths=lengths, unsafe=True)
        return sums if self._add_up is None else self._add_up(sums)

    def allocations(self, products: FlatVector) -> Tensor:
        """LCA (cells,), float64, of −LCA of every parameter."""
        return self(products.flat).neg_()

    def block_sums(self, vector: Tensor) -> Tensor:
        """Sums (length / block,) of the blocks of a padded vector or of a run of whole blocks."""
        blocks = vector.view(-1, self.block)
        if self.block > 4 or vector.dtype == torch.bool:
            return blocks.sum(dim=1)
        # For four columns or fewer, explicit adds beat sum().
        columns = list(blocks.unbind(1))
        while len(columns) > 1:
            half = len(columns) // 2
            columns = [a + b for a, b in zip(columns[:half], columns[half:], strict=True)]
        return columns[0]


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


class FlatViews(list[Tensor]):
    """Tensors that are views of one flat tensor, one after the other without a gap.

    One operation on the flat tensor then acts on all of them.

    Parameters
    ----------
    whole : Tensor
        (length,)
    shapes : sequence of shape
        Of the pieces, which fill it.
    """

    def __init__(self, whole: Tensor, shapes: Sequence[Sequence[int]]):
        parts = torch.split(whole, [prod(shape) for shape in shapes])
        super().__init__(part.view(shape) for part, shape in zip(parts, shapes, strict=True))
        self.whole = whole


class FlatVector:
    """A padded vector of float32 scalars, with a view per parameter.

    Parameters
    ----------
    partition : Partition
    device : torch device
    """

    def __init__(self, partition: Partition, device: torch.device | str):
        # Not the default type, which a training may have set to a shorter one.
        self.flat = torch.zeros(partition.length, dtype=torch.float32, device=device)
        self.views = [
            self.flat[offset : offset + prod(shape)].view(shape)
            for offset, shape in zip(partition.offsets, partition.shapes, strict=True)
        ]
        self._runs = self._runs_without_padding(partition)

    def copy(self, tensors: Sequence[Tensor | None]) -> FlatVector:
        """Take the values of a tensor per parameter; None gives 0."""
        if isinstance(tensors, FlatViews):
            for run, piece in self._runs_beside(tensors.whole):
                run.copy_(piece)
            return self
        present = [(v, t) for v, t in zip(self.views, tensors, strict=True) if t is not None]
        if len(present) < len(self.views):
            self.flat.zero_()
        torch._foreach_copy_([view for view, _ in present], [tensor for _, tensor in present])
        return self

    def subtract(self, tensors: Sequence[Tensor]) -> FlatVector:
        """Subtract a tensor per parameter: theta_t - theta_{t+1}, the negative of the step."""
        if isinstance(tensors, FlatViews):
            for run, piece in self._runs_beside(tensors.whole):
                run.sub_(piece)
        else:
            torch._foreach_sub_(self.views, list(tensors))
        return self

    def multiply(self, tensors: Sequence[Tensor | None]) -> FlatVector:
        """Multiply by a tensor per parameter; None, a parameter without gradient, gives 0."""
        if isinstance(tensors, FlatViews):
            for run, piece in self._runs_beside(tensors.whole):
                run.mul_(piece)
        elif any(tensor is None for tensor in tensors):
            for view, tensor in zip(self.views, tensors, strict=True):
                view.zero_() if tensor is None else view.mul_(tensor)
        else:
            torch._foreach_mul_(self.views, [tensor for tensor in tensors if tensor is not None])
        return self

    def _runs_beside(self, whole: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Stretches without padding, each with the same scalars of a `FlatViews.whole`."""
        return ((run, whole[place]) for run, place in self._runs)

    def _runs_without_padding(self, partition: Partition) -> list[tuple[Tensor, slice]]:
        """Stretches of this vector, and where a `FlatViews.whole` holds the same scalars."""
        runs: list[list[int]] = []
        position = 0
        for offset, shape in zip(partition.offsets, partition.shapes, strict=True):
            if not runs or offset - position != runs[-1][0] - runs[-1][1]:
                runs.append([offset, position, 0])
            runs[-1][2] += prod(shape)
            position += prod(shape)
        return [
            (self.flat[offset : offset + length], slice(start, start + length))
            for offset, start, length in runs
        ]

    def point(self, after: Sequence[Tensor], share: float) -> list[Tensor]:
        """theta_{t+1} + share (theta_t - theta_{t+1}), of the vector theta_t - theta_{t+1}."""
        return list(torch._foreach_add(list(after), self.views, alpha=share))


class ExtraReductions:
    """What is recorded of an update beside the cell sums.

    Parameters
    ----------
    partition : Partition
    cell_sum : CellSum
    names : sequence of str
        Some of "positive", "helped" and "vocabulary" (losschange.cube.format.DETAILS).
    word_bins : WordBins, optional
        Needed for "vocabulary".
    """

    def __init__(
        self,
        partition: Partition,
        cell_sum: CellSum,
        names: Sequence[str],
        word_bins: WordBins | None = None,
        device: torch.device | str = "cpu",
    ):
        self.names = tuple(names)
        self._cell_sum = cell_sum
        self._word_bins = word_bins
        self.shapes: dict[str, tuple[int, ...]] = dict.fromkeys(
            self.names, (len(partition.layout.cells),)
        )
        if "helped" in names:
            counts = torch.tensor(partition.layout.n_parameters, dtype=torch.float64)
            self._counts = counts.to(device)
        if "vocabulary" in names and word_bins is not None:
            self.shapes["vocabulary"] = (len(word_bins.matrices), len(word_bins.mass))
            self._matrices = [partition.names.index(name) for name in word_bins.matrices]
            order = np.argsort(word_bins.bin_of_word, kind="stable")
            self._words = torch.from_numpy(order).to(device)
            self._words_per_bin = torch.from_numpy(word_bins.words).to(device)

    def __call__(self, products: FlatVector) -> list[Tensor]:
        """Reductions of −LCA of every parameter, float64 and flat; the vector is overwritten."""
        found = {}
        if "vocabulary" in self.names:
            bins = [self._by_word(products.views[matrix]) for matrix in self._matrices]
            found["vocabulary"] = torch.cat(bins).neg_()
        if "helped" in self.names:
            found["helped"] = self._cell_sum(products.flat > 0) / self._counts
        if "positive" in self.names:
            found["positive"] = self._cell_sum(products.flat.clamp_(max=0)).neg_()
        return [found[name] for name in self.names]

    def _by_word(self, matrix: Tensor) -> Tensor:
        words = matrix.sum(dim=1).double()[self._words]
        return torch.segment_reduce(words, "sum", lengths=self._words_per_bin, unsafe=True)
