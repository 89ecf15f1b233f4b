"""Check that the numbers of heads in a schema are those of the model.

The rows of a matrix are often divisible by a wrong number of heads too, and the resulting cells
look valid. So the shapes of a layer are compared with each other, and the numbers of heads with
those in the model's own modules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch

from losschange.cube.layout import Cell

from .partition import Partition, PartitionError

# Names under which modules and configurations keep their numbers of heads.
_QUERY_HEADS = ("num_heads", "num_attention_heads", "n_heads", "n_head", "nhead", "heads")
_KEY_HEADS = ("num_key_value_heads", "num_kv_heads", "n_kv_heads", "n_kv_head")
_OF_QUERY = ("query", "out", "cross_query", "cross_out")
_OF_KEY = ("key", "value", "cross_key", "cross_value")
# In a head, key and query have the same width, and so have value and the input of out.
_EQUAL = (
    ("query", "key"),
    ("out", "value"),
    ("cross_query", "cross_key"),
    ("cross_out", "cross_value"),
)


def check_declared_heads(model: torch.nn.Module, partition: Partition) -> None:
    """Raise PartitionError, naming the parameter, if its heads cannot be those of the model.

    Parameters
    ----------
    model : torch.nn.Module
        Whose modules or configurations may say how many heads they have.
    partition : Partition
    """
    modules = {name.replace("_orig_mod.", ""): m for name, m in model.named_modules()}
    widths: dict[tuple[int, str], tuple[str, int, int]] = {}
    for name, component, layer, heads, width in _split_matrices(partition):
        wanted = _declared(name, modules, component)
        if wanted and heads not in wanted:
            raise PartitionError(
                f"the schema divides the {component} of {name!r} into {heads} heads, but the "
                f"model's module says that it has {' or '.join(map(str, sorted(wanted)))}; give "
                "the schema the model's numbers of heads"
            )
        widths[layer, component] = name, heads, width
    for (layer, component), (name, heads, width) in widths.items():
        for first, second in _EQUAL:
            if component != first or (layer, second) not in widths:
                continue
            other, other_heads, other_width = widths[layer, second]
            if width != other_width:
                raise PartitionError(
                    f"the schema gives a head {width} numbers of the {first} ({name!r}, {heads} "
                    f"heads), but {other_width} of the {second} ({other!r}, {other_heads} heads); "
                    "they must be as many. Where several query heads share a key head, the schema "
                    "must say how many key heads there are, or give them no head"
                )


def _split_matrices(partition: Partition) -> Iterator[tuple[str, str, int, int, int]]:
    """(name, component, layer, heads, rows or columns per head) of matrices with heads."""
    starts = [offset // partition.block for offset in partition.offsets]
    ends = [*starts[1:], len(partition.block_cells)]
    for name, shape, start, end in zip(
        partition.names, partition.shapes, starts, ends, strict=True
    ):
        if len(shape) != 2:
            continue
        blocks = partition.block_cells[start:end]
        across = len(set(blocks[: -(-shape[1] // partition.block)].tolist())) > 1
        counts: dict[Cell, int] = {}
        for number in blocks.tolist():
            cell = partition.layout.cells[number]
            counts[cell] = counts.get(cell, 0) + partition.block
        found: dict[tuple[str, int], dict[int, int]] = {}
        for cell, scalars in counts.items():
            if cell.head is not None and cell.component in (*_OF_QUERY, *_OF_KEY):
                found.setdefault((cell.component, cell.layer), {})[cell.head] = scalars
        for (component, layer), heads in found.items():
            # One head alone does not tell whether it owns rows or columns.
            if len(counts) > 1:
                width = next(iter(heads.values())) // (shape[0] if across else shape[1])
                yield name, component, layer, len(heads), width


def _declared(name: str, modules: Mapping[str, torch.nn.Module], component: str) -> set[int]:
    """Numbers of heads that the closest module around a parameter says it has; may be empty."""
    place = name
    while place:
        place = place.rpartition(".")[0]
        module = modules.get(place)
        sources = [
            source for source in (module, getattr(module, "config", None)) if source is not None
        ]
        heads, key_heads = (
            {
                value
                for source in sources
                for key in keys
                if isinstance(value := getattr(source, key, None), int)
            }
            for keys in (_QUERY_HEADS, _KEY_HEADS)
        )
        if heads:
            # A configuration may name a number of key heads that its model does not use; keys that
            # are given the query's number are held against the query's width.
            return heads | key_heads if component in _OF_KEY else heads
    return set()
