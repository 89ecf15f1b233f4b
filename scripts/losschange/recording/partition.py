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

from losschange.cube.layout import COMPONENTS, Cell, CubeLayout

from .proposals import propose_rules

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
        zero-based number of the layer within its stack, a group named `head` the number of the
        head (or of the expert) that owns the whole tensor.
    component : str or tuple of str
        Component of the cell, one of the schema's. Several share a fused tensor: runs of its rows
        or columns (as `heads` says), in the order given.
    depth : int
        Depth of the cell; added to the `layer` group where the pattern has one.
    heads : {"rows", "columns"} or None
        How attention heads own the tensor: head h owns rows (of a key, query or value
        projection and its bias) or columns (of the output projection) h*d_k to (h+1)*d_k. With
        "rows", experts own equal runs of the first dimension of a tensor of any rank.
    n_heads : int or tuple of int, optional
        Number of heads (or experts) that share the tensor, where it is not the schema's; of a
        fused tensor, one number per component.
    order : {"components", "heads"}
        Of a fused tensor: each component holds all of its heads (GPT-2), or each head holds its
        part of every component (GPT-NeoX: query, key and value of head 0, then of head 1 ...).
    """

    pattern: str
    component: str | tuple[str, ...]
    depth: int
    heads: str | None = None
    n_heads: int | tuple[int, ...] | None = None
    order: str = "components"

    def __post_init__(self) -> None:
        if self.heads not in (None, "rows", "columns"):
            raise PartitionError(
                f"the rule {self.pattern!r} has heads={self.heads!r}; it must be "
                '"rows", "columns" or None'
            )


@dataclass(frozen=True)
class Schema:
    """The axes of a cube and the rules that fill it. Printed, it is a table of its rules.

    Parameters
    ----------
    stacks : sequence of str
        Per depth 0..N+1: "embedding", "encoder", "decoder" or "output". For a network that is no
        Transformer, names of its modules.
    heads : int
        Length of the head axis: the largest number of heads (or experts) of any rule.
    rules : sequence of Rule
    components : sequence of str
        The component axis; the default components and their order if nothing is given.
    """

    stacks: tuple[str, ...]
    heads: int
    rules: tuple[Rule, ...]
    components: tuple[str, ...] = COMPONENTS

    def __str__(self) -> str:
        rows = [("component", "layer", "heads", "parameters")]
        for rule in self.rules:
            names = [rule.component] if isinstance(rule.component, str) else rule.component
            depth = f"{rule.depth}+" if "(?P<layer>" in rule.pattern else str(rule.depth)
            heads = "-"
            if rule.heads:
                numbers = rule.n_heads or self.heads
                different = [numbers] if isinstance(numbers, int) else list(dict.fromkeys(numbers))
                heads = f"{'/'.join(map(str, different))} in {rule.heads}"
            rows.append((" ".join(dict.fromkeys(names)), depth, heads, rule.pattern))
        widths = [max(len(row[place]) for row in rows) for place in range(3)]
        return "\n".join(
            "  ".join([*(word.ljust(w) for word, w in zip(row, widths)), row[3]]) for row in rows
        )


@dataclass(frozen=True)
class Partition:
    """A model's trainable scalars divided into cells.

    Scalars lie in one padded vector: tensor after tensor, each padded to a multiple of `block`, so
    that a block of consecutive scalars never straddles a tensor or a head.

    Attributes
    ----------
    layout : CubeLayout
    names : tuple of str
        Parameter names in the order of the vector.
    shapes : tuple of tuple of int
    offsets : tuple of int
        Where each tensor starts in the vector.
    length : int
        Length of the vector, padding included.
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
        Naming all parameters that no rule claims, with a rule proposed for each; or the parameter
        that more than one rule claims, whose shape does not divide into the heads, or whose layer
        the schema does not have.
    """
    named = [(name, tuple(int(size) for size in shape)) for name, shape in parameters]
    if not named:
        raise PartitionError("the model has no trainable parameters; there is nothing to record")
    claims = _claims(named, schema)
    runs = [
        _runs(name, shape, rule, match, schema)
        for (name, shape), (rule, match) in zip(named, claims, strict=True)
    ]
    block = LARGEST_BLOCK
    for run_length, cells, times in runs:
        if len(cells) * times > 1:
            block = gcd(block, run_length)

    order = sorted({cell for _, cells, _ in runs for cell in cells}, key=_cell_order)
    index = {cell: position for position, cell in enumerate(order)}
    counts = np.zeros(len(order), dtype=np.int64)
    offsets, block_cells, length = [], [], 0
    for (_, shape), (run_length, cells, times) in zip(named, runs, strict=True):
        numbers = np.array([index[cell] for cell in cells], dtype=np.int64)
        np.add.at(counts, numbers, run_length * times)
        blocks = -(-prod(shape) // block)
        repeats = blocks if len(cells) * times == 1 else run_length // block
        offsets.append(length)
        block_cells.append(np.tile(np.repeat(numbers, repeats), times))
        length += blocks * block
    layout = CubeLayout(
        stacks=tuple(schema.stacks),
        heads=schema.heads,
        cells=tuple(order),
        n_parameters=tuple(int(count) for count in counts),
        components=tuple(schema.components),
    )
    return Partition(
        layout=layout,
        names=tuple(name for name, _ in named),
        shapes=tuple(shape for _, shape in named),
        offsets=tuple(offsets),
        length=length,
        block=block,
        block_cells=np.concatenate(block_cells),
    )


def _claims(
    parameters: Sequence[tuple[str, tuple[int, ...]]], schema: Schema
) -> list[tuple[Rule, re.Match[str]]]:
    """Per parameter the one rule that claims it, with the match of its pattern."""
    patterns = [(rule, re.compile(rule.pattern)) for rule in schema.rules]
    found, unclaimed = [], []
    for name, shape in parameters:
        matches = [(rule, match) for rule, known in patterns if (match := known.fullmatch(name))]
        if len(matches) > 1:
            claiming = ", ".join(repr(rule.pattern) for rule, _ in matches)
            raise PartitionError(f"more than one rule claims the parameter {name!r}: {claiming}")
        found += matches
        unclaimed += [] if matches else [(name, shape)]
    if unclaimed:
        names = ", ".join(repr(name) for name, _ in unclaimed)
        which = "the parameter" if len(unclaimed) == 1 else f"{len(unclaimed)} parameters:"
        proposed = "\n".join(f"    {line}" for line in propose_rules(unclaimed, schema.stacks))
        raise PartitionError(
            f"no rule of the schema claims {which} {names}; add one, or the recorded cells would "
            f"not sum to the loss change. Proposed, with components to be looked at:\n{proposed}"
        )
    return found


def _runs(
    name: str, shape: tuple[int, ...], rule: Rule, match: re.Match[str], schema: Schema
) -> tuple[int, list[Cell], int]:
    """Length of the runs of consecutive scalars that share a cell, cells of runs, and how often."""
    depth = _depth(name, rule, match, schema)
    components = (rule.component,) if isinstance(rule.component, str) else rule.component
    if rule.heads is None and len(components) == 1:
        head = match.groupdict().get("head")
        return prod(shape), [Cell(depth, components[0], None if head is None else int(head))], 1
    if rule.heads is None:
        raise PartitionError(
            f"the rule for {name!r} names {len(components)} components of a fused tensor; "
            'it must say whether they share its "rows" or "columns"'
        )
    split = shape[0] if rule.heads == "rows" else shape[-1]
    cells = _cells_of_runs(name, rule, components, depth, schema)
    if split % len(cells):
        heads = len(cells) // len(components)
        fused = f" of {len(components)} components" if len(components) > 1 else ""
        raise PartitionError(
            f"{name!r} of shape {shape}: {split} {rule.heads} do not divide "
            f"into {heads} attention heads{fused}"
        )
    if rule.heads == "rows":
        return prod(shape) // len(cells), cells, 1
    return split // len(cells), cells, prod(shape[:-1])


def _cells_of_runs(
    name: str, rule: Rule, components: Sequence[str], depth: int, schema: Schema
) -> list[Cell]:
    """The cells that share the rows or columns of a tensor in equal runs, in order."""
    numbers = rule.n_heads or schema.heads
    numbers = (numbers,) * len(components) if isinstance(numbers, int) else numbers
    if len(numbers) != len(components):
        raise PartitionError(
            f"the rule for {name!r} gives {len(numbers)} numbers of heads to {len(components)} "
            "components"
        )
    if rule.order == "components":
        return [
            Cell(depth, part, head)
            for part, number in zip(components, numbers)
            for head in range(number)
        ]
    if rule.order != "heads" or len(set(numbers)) > 1:
        raise PartitionError(
            f'the rule for {name!r}: the order is "components" or, where all components have the '
            f'same number of heads, "heads"; found {rule.order!r} and {numbers}'
        )
    return [Cell(depth, part, head) for head in range(numbers[0]) for part in components]


def _depth(name: str, rule: Rule, match: re.Match[str], schema: Schema) -> int:
    """Depth of a parameter's cell; a layer that the schema lacks would count to what follows."""
    layer = int(match.groupdict().get("layer") or 0)
    depth, stacks = rule.depth + layer, schema.stacks
    if layer and (depth >= len(stacks) or stacks[depth] != stacks[rule.depth]):
        raise PartitionError(
            f"{name!r} is in layer {layer} (counted from 0), but the schema has only "
            f"{stacks[rule.depth :].count(stacks[rule.depth])} layers there"
        )
    return depth


def _cell_order(cell: Cell) -> tuple[int, str, int]:
    return cell.layer, cell.component, -1 if cell.head is None else cell.head
