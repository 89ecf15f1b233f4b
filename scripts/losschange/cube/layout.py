"""Which cells a cube has: layers, components and heads, and how many parameters each."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

# Place on the head axis of what is not split by head; attention head h stands at h + 1.
NO_HEAD = 0

# The default components, in the order of their axis. A schema may name its own.
COMPONENTS = (
    "embedding",
    "position",
    "key",
    "query",
    "value",
    "out",
    "cross_key",
    "cross_query",
    "cross_value",
    "cross_out",
    "W1",
    "W2",
    "bias",
    "norm",
    "output",
)

# Where the decoder of a translation model has an embedding of its own, its component stands after
# that of the encoder.
DECODER_EMBEDDING = "decoder_embedding"
WITH_DECODER_EMBEDDING = (COMPONENTS[0], DECODER_EMBEDDING, *COMPONENTS[1:])


class CubeError(ValueError):
    """A file that is not an LCA cube of this format, or cells that do not fit it."""


@dataclass(frozen=True, order=True)
class Cell:
    """One group of parameters: a point of layer x component x head.

    Parameters
    ----------
    layer : int
        Depth, 0 = embeddings, 1..N = Transformer layers, N + 1 = after the last layer.
    component : str
        One of the layout's components.
    head : int or None
        Attention head 0..H-1, None where the component is not split by head. Where several query
        heads share a key and value head, keys and values have fewer heads than queries. The
        matrices of an expert stand under the expert's number.
    """

    layer: int
    component: str
    head: int | None = None


@dataclass(frozen=True)
class CubeLayout:
    """The static part of a cube: its axes and the cells that exist.

    Parameters
    ----------
    stacks : sequence of str
        Per layer 0..N+1: "embedding", "encoder", "decoder" or "output"; the name of a module in
        networks that are no Transformers.
    heads : int
        Length of the head axis without "none".
    cells : sequence of Cell
        The cells that exist, in the order of the recorded values.
    n_parameters : sequence of int
        Trainable scalars per cell, aligned with `cells`.
    components : sequence of str
        The component axis.

    Raises
    ------
    CubeError
        If a cell lies outside the axes, appears twice, or counts do not align.
    """

    stacks: tuple[str, ...]
    heads: int
    cells: tuple[Cell, ...]
    n_parameters: tuple[int, ...]
    components: tuple[str, ...] = COMPONENTS
    index: tuple[np.ndarray, np.ndarray, np.ndarray] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.cells) != len(self.n_parameters):
            raise CubeError(f"{len(self.cells)} cells but {len(self.n_parameters)} counts")
        if len(set(self.cells)) != len(self.cells):
            raise CubeError("a cell appears twice in the layout")
        for cell in self.cells:
            inside = 0 <= cell.layer < len(self.stacks) and cell.component in self.components
            if not inside or (cell.head is not None and not 0 <= cell.head < self.heads):
                raise CubeError(
                    f"{cell} lies outside {len(self.stacks)} layers, {self.heads} heads "
                    f"and the components {', '.join(self.components)}"
                )
        places = {name: place for place, name in enumerate(self.components)}
        index = (
            np.array([cell.layer for cell in self.cells], dtype=np.int64),
            np.array([places[cell.component] for cell in self.cells], dtype=np.int64),
            np.array(
                [NO_HEAD if cell.head is None else cell.head + 1 for cell in self.cells],
                dtype=np.int64,
            ),
        )
        object.__setattr__(self, "index", index)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Lengths of (layer, component, head), the head axis starting with "none"."""
        return len(self.stacks), len(self.components), self.heads + 1

    @property
    def labels(self) -> list[str]:
        """Readable names of the layers, such as "enc.3"."""
        short = {"encoder": "enc", "decoder": "dec"}
        return [
            f"{short[stack]}.{depth}" if stack in short else stack
            for depth, stack in enumerate(self.stacks)
        ]

    def to_grid(self, values: np.ndarray) -> np.ndarray:
        """Spread values (..., cells) over a grid (..., layer, component, head), NaN elsewhere."""
        grid = np.full(values.shape[:-1] + self.shape, np.nan, dtype=np.float32)
        grid[(..., *self.index)] = values
        return grid

    def from_grid(self, grid: np.ndarray) -> np.ndarray:
        """Pick the existing cells of a grid (..., layer, component, head) as (..., cells)."""
        return grid[(..., *self.index)]


def layout_difference(expected: CubeLayout, found: CubeLayout) -> str | None:
    """The first thing in which two layouts differ, in words; None if they are the same."""
    if expected.shape != found.shape:
        names = ("layers", "components", "heads with none")
        sizes = [
            f"{f} {name} instead of {e}"
            for name, e, f in zip(names, expected.shape, found.shape, strict=True)
            if e != f
        ]
        return ", ".join(sizes)
    if expected.stacks != found.stacks:
        return f"stacks {', '.join(found.stacks)} instead of {', '.join(expected.stacks)}"
    if expected.components != found.components:
        return (
            f"components {', '.join(found.components)} instead of {', '.join(expected.components)}"
        )
    here = dict(zip(expected.cells, expected.n_parameters, strict=True))
    there = dict(zip(found.cells, found.n_parameters, strict=True))
    for cell in sorted(here.keys() | there.keys(), key=str):
        if here.get(cell, 0) != there.get(cell, 0):
            return f"{cell} has {there.get(cell, 0)} parameters instead of {here.get(cell, 0)}"
    return None
