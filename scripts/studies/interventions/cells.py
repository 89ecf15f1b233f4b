"""Cells that the configuration names, and the cells that a model has before it is built."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from losschange.cube.layout import Cell
from objectives import OBJECTIVES
from running.configuration_fields import Count, Section

Rule = Literal["hurting", "least", "most", "random"]
ATTENTION = ("key", "query", "value", "out")


class CellGroup(Section):
    """Cells by component, layers and heads.

    Attributes
    ----------
    components : list of str
    layers : [first, last] or None
        As in cubes: 0 the embeddings, 1 to N the layers, encoder before decoder, N + 1 what is
        after them; both ends count. None = all.
    heads : list of int or None
        From 0; None = all, and what belongs to no head.
    """

    components: Annotated[list[str], Field(min_length=1)]
    layers: Annotated[list[Count], Field(min_length=2, max_length=2)] | None = None
    heads: Annotated[list[Count], Field(min_length=1)] | None = None


def cells_of_group(cells: Iterable[Cell], group: CellGroup) -> list[Cell]:
    """Those of the given cells that a group names."""
    return [
        cell
        for cell in cells
        if cell.component in group.components
        and (group.layers is None or group.layers[0] <= cell.layer <= group.layers[1])
        and (group.heads is None or cell.head in group.heads)
    ]


def cells_of_model(objective: str, training: Mapping[str, Any]) -> list[Cell]:
    """The cells that the cube of a model will have.

    Parameters
    ----------
    objective : str
    training : mapping
        Fields of running.configuration.Training.
    """
    made_of = OBJECTIVES[objective].architecture(training)
    layers, heads = training["layers"], range(training["attention_heads"])
    pre_norm, learned = training["norm"] == "pre", bool(made_of.positions)
    cells = [Cell(0, "embedding")]
    if learned:
        cells += [Cell(0, "position"), Cell(0, "norm")]
    for layer in range(1, layers + 1):
        crossed = bool(made_of.encoder_layers) and layer > made_of.encoder_layers
        names = [*ATTENTION, *(f"cross_{name}" for name in ATTENTION if crossed), "bias"]
        cells += [Cell(layer, name, head) for name in names for head in heads]
        cells += [Cell(layer, name) for name in ("W1", "W2", "bias", "norm")]
    after = layers + 1
    if pre_norm or made_of.dense_head:
        cells.append(Cell(after, "norm"))
    if made_of.embedding_matrices > 1 or made_of.dense_head:
        cells.append(Cell(after, "output"))
    if made_of.dense_head:
        cells.append(Cell(after, "bias"))
    return cells
