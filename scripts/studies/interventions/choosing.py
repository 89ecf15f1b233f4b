"""Which cells an intervention freezes: those that it lists, or those that a rule chooses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from losschange.cube.layout import Cell, CubeLayout

from .cells import CellGroup, cells_of_group

# Of the parameters to freeze. Small cells at the other end of the order would fill the rest.
MISSED = 0.02


def listed_cells(layout: CubeLayout, groups: Sequence[CellGroup]) -> list[Cell]:
    """The cells of a cube that the groups name, in the cube's order, each once."""
    named = {cell for group in groups for cell in cells_of_group(layout.cells, group)}
    return [cell for cell in layout.cells if cell in named]


def chosen_cells(
    rule: str,
    layout: CubeLayout,
    lca: np.ndarray,
    share: float | None = None,
    random: np.random.Generator | None = None,
) -> list[Cell]:
    """The cells that a rule chooses.

    Parameters
    ----------
    rule : {"hurting", "least", "most", "random"}
        "hurting": all whose LCA is positive. The others freeze `share` of the parameters: cells are
        taken in the order of their contribution (−LCA) per parameter, or in a random order, until
        all but MISSED of the share are reached; one that would exceed it is skipped. So all three
        freeze nearly equally many parameters.
    layout : CubeLayout
    lca : float array (cells,)
        Summed over the updates of interest, nats per token; "random" does not look at it.
    share : float, optional
    random : numpy Generator, optional
        For "random".
    """
    if rule == "hurting":
        return [cell for cell, value in zip(layout.cells, lca, strict=True) if value > 0]
    sizes = np.array(layout.n_parameters)
    if rule == "random":
        assert random is not None
        order = random.permutation(len(sizes))
    else:
        density = -lca / sizes
        order = np.argsort(density if rule == "least" else -density, kind="stable")
    assert share is not None
    room = share * sizes.sum()
    chosen = set()
    for place in order.tolist():
        if room <= MISSED * share * sizes.sum():
            break
        if sizes[place] <= room:
            chosen.add(place)
            room -= sizes[place]
    return [cell for place, cell in enumerate(layout.cells) if place in chosen]
