"""Checks that the heads of a schema are those of the model, by silencing one after the other."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from losschange.cube.layout import Cell
from losschange.recording.partition import Partition, PartitionError, Schema, partition_parameters
from losschange.recording.side_effects import with_parameters, without_side_effects

from .order import call

PARTS = ("query", "key", "value")
OUTS = ("out", "cross_out")


def check_heads(
    model: torch.nn.Module,
    schema: Schema,
    example: Sequence[Any] | Mapping[str, Any],
    seed: int = 0,
) -> int:
    """Check that the heads of a schema are those of a model.

    The part of an output projection that a head owns is set to 0, so the head is not heard. Then
    the gradients of its queries, keys and values have to vanish, and those of no other head. Where
    several query heads share a key and value head, keys and values vanish with the last of them.
    In models that normalise the queries of all heads together (OLMo 2), only values can be checked.
    The model is left as it was. Costs one forward and backward pass per head and layer.

    Parameters
    ----------
    model : torch.nn.Module
    schema : Schema
    example : sequence or mapping
        Arguments of the model's forward pass; its floating-point results are summed at random.
    seed : int
        Of the random numbers by which results are summed.

    Returns
    -------
    int
        How many heads were checked.

    Raises
    ------
    PartitionError
        Naming the layer and the head that are not what the schema says.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    partition = partition_parameters(((name, p.shape) for name, p in named), schema)
    parameters = [parameter for _, parameter in named]
    owners = _owners(partition, parameters)
    cells = partition.layout.cells

    def look(masks: Sequence[Tensor], cells: Sequence[Cell]) -> list[Tensor]:
        """Absolute gradients (scalars,) of each cell where the parameters under masks are 0."""
        silenced = [
            parameter.detach().masked_fill(mask.to(parameter.device), 0.0)
            for parameter, mask in zip(parameters, masks)
        ]
        with with_parameters(parameters, silenced), without_side_effects(model):
            gradients = _gradients(model, example, seed, parameters)
        return [
            torch.cat([g[owner == cell] for g, owner in zip(gradients, owners)])
            for cell in range(len(cells))
        ]

    # A norm over the queries of all heads lets each query act on every head.
    together = any(
        re.search(r"(q|k|query|key)_?(layer)?_?norm\.weight$", name) and p.numel() >= _width(named)
        for name, p in named
    )
    parts, checked = ("value",) if together else PARTS, 0
    heard = look([torch.zeros_like(owner, dtype=torch.bool) for owner in owners], cells)
    for layer, kind in sorted({(c.layer, c.component) for c in cells if c.component in OUTS}):
        heads = {
            part: [
                c for c in cells if (c.layer, c.component) == (layer, part) and c.head is not None
            ]
            for part in (kind, *(kind.replace("out", name) for name in parts))
        }
        for silent in _groups([len(found) for found in heads.values()]):
            chosen = torch.tensor(
                [cells.index(cell) for cell in heads[kind] if cell.head in silent]
            )
            masks = [torch.isin(owner, chosen) for owner in owners]
            found = look(masks, cells)
            _compare(heads, kind, silent, dict(zip(cells, zip(heard, found))))
            checked += len(silent) == 1
        if "query" in parts and heads[kind]:
            chosen = torch.tensor([cells.index(cell) for cell in heads[kind]])
            found = look([_first_halves(owner, chosen) for owner in owners], cells)
            _refuse_coarse(heads[kind.replace("out", "query")], dict(zip(cells, zip(heard, found))))
    return checked


def _width(named: Sequence[tuple[str, Tensor]]) -> int:
    """Rows of the narrowest matrix of queries or keys, found by name."""
    pattern = r"(^|[._])w?(q|k|query|key)(_proj)?\.weight$"
    return min((p.shape[0] for name, p in named if re.search(pattern, name)), default=0)


def _groups(numbers: Sequence[int]) -> list[frozenset[int]]:
    """Sets of query heads to silence: each alone, and all that share a key and value head."""
    heads = numbers[0]
    groups = {
        frozenset(range(head * heads // number, (head + 1) * heads // number))
        for number in numbers
        if number
        for head in range(number)
    }
    return sorted(groups, key=lambda group: (len(group), min(group)))


def _compare(
    heads: Mapping[str, Sequence[Cell]],
    kind: str,
    silent: frozenset[int],
    gradients: Mapping[Cell, tuple[Tensor, Tensor]],
) -> None:
    """Raise PartitionError unless the gradients that vanish are those of the silent heads."""
    number = len(heads[kind])
    for part in (name for name in heads if name != kind):
        for cell in heads[part]:
            group = number // len(heads[part])
            head = cell.head or 0
            expected = silent >= set(range(head * group, (head + 1) * group))
            before, after = gradients[cell]
            # A gradient that was 0 before says nothing.
            if before.any() and expected == bool(after.any()):
                named = ", ".join(map(str, sorted(silent)))
                raise PartitionError(
                    f"layer {cell.layer}: where {kind} of head {named} is silent, {part} of head "
                    f"{cell.head} {'still has a' if expected else 'has no'} gradient. The schema's "
                    "heads are not those of the model: look at the number of heads, at rows and "
                    "columns, and at the order of fused tensors"
                )


def _first_halves(owner: Tensor, chosen: Tensor) -> Tensor:
    """Mask of the first half of the rows or columns that each of some cells owns in a tensor."""
    mask = torch.isin(owner, chosen)
    if not mask.any():
        return mask
    by_rows = bool((owner[0] == owner[0, 0]).all()) and len(chosen) > 1
    line = owner[:, 0] if by_rows else owner[0]
    width = len(line) // len(chosen)
    half = torch.arange(len(line)) % width < width // 2
    return mask & (half[:, None] if by_rows else half[None, :])


def _refuse_coarse(
    queries: Sequence[Cell], gradients: Mapping[Cell, tuple[Tensor, Tensor]]
) -> None:
    """Raise PartitionError if a part of a head's queries is silent where half of it is.

    A query acts through the whole head. So what falls silent together with half of a cell is a
    head of its own.
    """
    for cell in queries:
        before, after = (gradient.count_nonzero() for gradient in gradients[cell])
        if after < 3 / 4 * before:
            raise PartitionError(
                f"layer {cell.layer}: {cell.component} of head {cell.head} holds several heads of "
                "the model; give the schema the larger number of heads"
            )


def _gradients(
    model: torch.nn.Module,
    example: Sequence[Any] | Mapping[str, Any],
    seed: int,
    parameters: Sequence[Tensor],
) -> list[Tensor]:
    """Absolute gradients of a random sum of the model's results, on the host."""
    generator = torch.Generator().manual_seed(seed)
    total = torch.stack(
        [
            (result * torch.randn(result.shape, generator=generator).to(result)).sum()
            for result in _results(call(model, example))
        ]
    ).sum()
    found = torch.autograd.grad(total, parameters, allow_unused=True)
    return [
        torch.zeros_like(p, device="cpu") if g is None else g.abs().float().cpu()
        for p, g in zip(parameters, found)
    ]


def _results(found: Any) -> list[Tensor]:
    if isinstance(found, Tensor):
        return [found] if found.requires_grad else []
    parts = found.values() if isinstance(found, Mapping) else found
    return [r for part in parts if isinstance(part, Tensor | tuple | list | Mapping)
            for r in _results(part)]  # fmt: skip


def _owners(partition: Partition, parameters: Sequence[Tensor]) -> list[Tensor]:
    """Per parameter the cell of every scalar, as its index in the layout."""
    blocks = torch.from_numpy(partition.block_cells).repeat_interleave(partition.block)
    return [
        blocks[offset : offset + parameter.numel()].view_as(parameter)
        for parameter, offset in zip(parameters, partition.offsets)
    ]
