"""Which parameter belongs to which cell: patterns over names, checked to be a partition.

Every trainable scalar of a model must belong to exactly one cell of the cube, so that the cells
of one update add up to the loss change of the whole model (Vázquez et al. 2022, §2.3).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import gcd, prod

import numpy as np

from losschange.cube.format import Cell, CubeLayout

LARGEST_BLOCK = 64


class PartitionError(ValueError):
    """A parameter that no rule claims, that two rules claim, or that a rule does not fit."""


@dataclass(frozen=True)
class Rule:
    """One line of a schema: parameter names to a cell.

    Parameters
    ----------
    pattern : str
        Regular expression that must match the whole name. A group named `layer` holds the
        zero-based number of the layer within its stack.
    component : str or tuple of str
        Component of the cell, one of losschange.cube.format.COMPONENTS. Several share a fused
        tensor: equal runs of its rows or columns (as `heads` says), in the order given.
    depth : int
        Depth of the cell; added to the `layer` group where the pattern has one.
    heads : {"rows", "columns"} or None
        How attention heads own the tensor: head h owns rows (of a key, query or value
        projection and its bias) or columns (of the output projection) h*d_k to (h+1)*d_k.
    """

    pattern: str
    component: str | tuple[str, ...]
    depth: int
    heads: str | None = None

    def __post_init__(self):
        if self.heads not in (None, "rows", "columns"):
            raise PartitionError(
                f"the rule {self.pattern!r} has heads={self.heads!r}; it must be "
                '"rows", "columns" or None'
            )


@dataclass(frozen=True)
class Schema:
    """The axes of a cube and the rules that fill it.

    Parameters
    ----------
    stacks : sequence of str
        Per depth 0..N+1: "embedding", "encoder", "decoder" or "output".
    heads : int
        Number of attention heads.
    rules : sequence of Rule
    """

    stacks: tuple[str, ...]
    heads: int
    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class Partition:
    """A model's trainable scalars divided into cells.

    Scalars lie in one padded row: tensor after tensor, each padded to a multiple of `block`, so
    that a block of consecutive scalars never straddles a tensor or a head.

    Attributes
    ----------
    layout : CubeLayout
    names : tuple of str
        Parameter names in the order of the row.
    shapes : tuple of tuple of int
    offsets : tuple of int
        Where each tensor starts in the row.
    length : int
        Length of the row, padding included.
    block : int
        Scalars per block, a power of two of at most 64.
    block_cells : int array (length / block,)
        Index into layout.cells of each block.
    """

    layout: CubeLayout
    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    offsets: tuple[int, ...]
    length: int
    block: int
    block_cells: np.ndarray


def partition_parameters(
    parameters: Iterable[tuple[str, Sequence[int]]], schema: Schema
) -> Partition:
    """Divide parameters into cells.

    Parameters
    ----------
    parameters : iterable of (name, shape)
        Every trainable parameter once; tied parameters under one name.
    schema : Schema

    Raises
    ------
    PartitionError
        Naming the parameter that no rule or more than one rule claims, or whose shape does not
        divide into the schema's heads.
    """
    parameters = [(name, tuple(int(size) for size in shape)) for name, shape in parameters]
    if not parameters:
        raise PartitionError("the model has no trainable parameters; there is nothing to record")
    claims = [_claim(name, schema) for name, _ in parameters]
    runs = [
        _runs(name, shape, rule, depth, schema)
        for (name, shape), (rule, depth) in zip(parameters, claims, strict=True)
    ]
    block = LARGEST_BLOCK
    for run_length, cells in runs:
        if len(cells) > 1:
            block = gcd(block, run_length)

    order = sorted({cell for _, cells in runs for cell in cells}, key=_cell_order)
    index = {cell: position for position, cell in enumerate(order)}
    counts = np.zeros(len(order), dtype=np.int64)
    offsets, block_cells, length = [], [], 0
    for (_, shape), (run_length, cells) in zip(parameters, runs, strict=True):
        numbers = np.array([index[cell] for cell in cells], dtype=np.int64)
        np.add.at(counts, numbers, run_length)
        blocks = -(-prod(shape) // block)
        repeats = blocks if len(cells) == 1 else run_length // block
        offsets.append(length)
        block_cells.append(np.repeat(numbers, repeats))
        length += blocks * block
    layout = CubeLayout(
        stacks=tuple(schema.stacks),
        heads=schema.heads,
        cells=tuple(order),
        n_parameters=tuple(int(count) for count in counts),
    )
    return Partition(
        layout=layout,
        names=tuple(name for name, _ in parameters),
        shapes=tuple(shape for _, shape in parameters),
        offsets=tuple(offsets),
        length=length,
        block=block,
        block_cells=np.concatenate(block_cells),
    )


def _claim(name: str, schema: Schema) -> tuple[Rule, int]:
    """The one rule that claims a name, and the depth of its cell."""
    matches = [(rule, re.fullmatch(rule.pattern, name)) for rule in schema.rules]
    matches = [(rule, match) for rule, match in matches if match]
    if not matches:
        raise PartitionError(
            f"no rule of the schema claims the parameter {name!r}; add one, "
            "or the recorded cells would not sum to the loss change"
        )
    if len(matches) > 1:
        patterns = ", ".join(repr(rule.pattern) for rule, _ in matches)
        raise PartitionError(f"more than one rule claims the parameter {name!r}: {patterns}")
    rule, match = matches[0]
    layer = int(match.groupdict().get("layer") or 0)
    depth, stacks = rule.depth + layer, schema.stacks
    # A layer that the schema lacks would count to what follows.
    if layer and (depth >= len(stacks) or stacks[depth] != stacks[rule.depth]):
        raise PartitionError(
            f"{name!r} is in layer {layer} (counted from 0), but the schema has only "
            f"{stacks[rule.depth :].count(stacks[rule.depth])} layers there"
        )
    return rule, depth


def _runs(
    name: str, shape: tuple[int, ...], rule: Rule, depth: int, schema: Schema
) -> tuple[int, list[Cell]]:
    """Length of the runs of consecutive scalars that share a cell, and the cell of each run."""
    components = (rule.component,) if isinstance(rule.component, str) else rule.component
    if rule.heads is None and len(components) == 1:
        return prod(shape), [Cell(depth, *components)]
    if rule.heads is None:
        raise PartitionError(
            f"the rule for {name!r} names {len(components)} components of a fused tensor; "
            'it must say whether they share its "rows" or "columns"'
        )
    split = shape[0] if rule.heads == "rows" else shape[-1]
    pieces = len(components) * schema.heads
    if split % pieces:
        fused = f" of {len(components)} components" if len(components) > 1 else ""
        raise PartitionError(
            f"{name!r} of shape {shape}: {split} {rule.heads} do not divide "
            f"into {schema.heads} attention heads{fused}"
        )
    cells = [Cell(depth, part, head) for part in components for head in range(schema.heads)]
    if rule.heads == "rows":
        return prod(shape) // pieces, cells
    return split // pieces, cells * prod(shape[:-1])


def _cell_order(cell: Cell) -> tuple[int, str, int]:
    return cell.layer, cell.component, -1 if cell.head is None else cell.head
