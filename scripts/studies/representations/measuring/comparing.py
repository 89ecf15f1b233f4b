"""Two models' spaces: all layers with all, layers of equal depth closely, and their alignment."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from representations.comparison import compare_states
from representations.procrustes import METHODS, align, retrieve
from representations.states import StatesReader

# The first three of all pairs of layers, the others of layers of equal depth alone.
MEASURES = ("rsa", "cka", "pwcca", "pwcca_reversed", "svcca", "rsa_uncentred")


def equal_depths(first: list[str], second: list[str]) -> list[tuple[Fraction, str, str]]:
    """Layers of two stacks at the same share of their depth: share, first and second layer.

    A stack of 12 layers and one of 6 meet at the embedding, at 2 and 1, 4 and 2, and so on.
    """
    depths = [Fraction(int(layer), max(1, len(second) - 1)) for layer in second]
    own = {Fraction(int(layer), max(1, len(first) - 1)): layer for layer in first}
    return [
        (depth, own[depth], layer) for depth, layer in zip(depths, second, strict=True)
        if depth in own
    ]  # fmt: skip


def compare_spaces(
    first: Path,
    second: Path,
    words: xr.Dataset,
    rsa_words: int,
    held_out: int,
    repeats: int,
    seed: int,
    all_layers: bool,
) -> xr.Dataset:
    """Similarities of the layers of two models, and their alignment.

    Parameters
    ----------
    first, second : path
        Files of states of the same words.
    words : xr.Dataset
    rsa_words, repeats, seed
        See representations.comparison.compare_states; intervals only for layers of equal depth.
    held_out : int
        Words that the alignment does not see and that are to find their counterparts.
    all_layers : bool
        Whether all pairs of layers are compared, or only those of equal depth.

    Returns
    -------
    xr.Dataset by depth (share of the stack, with the layers `first` and `second`)
        Each of MEASURES, and `retrieval` by method and by stage ("before" or "after" the
        alignment), all with _floor, _low and _high; by first_layer and second_layer the variables
        all_<measure> without intervals.

    Raises
    ------
    RepresentationError
        If a measure cannot be had; the layers are named.
    """
    with StatesReader(first) as one, StatesReader(second) as two:
        stacks = [_stack(reader) for reader in (one, two)]
        depths = equal_depths(*stacks)
        rows, alignments = [], []
        for _, layer, other in depths:
            states = (one.layer(layer), two.layer(other))
            pair = ({layer: states[0]}, {other: states[1]})
            found = compare_states(*pair, words, MEASURES, rsa_words, repeats, seed)
            rows.append(found.isel(first_layer=0, second_layer=0, drop=True))
            alignments.append(_alignment(*states, words, held_out, repeats, seed))
        table = xr.concat(
            [xr.merge(parts) for parts in zip(rows, alignments, strict=True)], "depth"
        )
        table = table.assign_coords(
            depth=[float(depth) for depth, _, _ in depths],
            first=("depth", [layer for _, layer, _ in depths]),
            second=("depth", [layer for _, _, layer in depths]),
        )
        if all_layers:
            pair = (
                {layer: one.layer(layer) for layer in stacks[0]},
                {layer: two.layer(layer) for layer in stacks[1]},
            )
            whole = compare_states(*pair, words, MEASURES[:3], rsa_words, 0, seed)
            table = xr.merge([table, whole.rename({key: f"all_{key}" for key in whole})])
    return table


def _stack(reader: StatesReader) -> list[str]:
    """Layers 0 to N; variants of the first and the last one are left out."""
    return [layer for layer in reader.layers if layer.isdigit()]


def _alignment(
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    words: xr.Dataset,
    held_out: int,
    repeats: int,
    seed: int,
) -> xr.Dataset:
    """Share of held-out words that find their counterpart, both ways together."""
    sentences = words["sentence"].values
    # Whole sentences are held out: words of one sentence resemble each other.
    order = np.random.default_rng(seed).permutation(np.unique(sentences))
    sizes = np.cumsum(np.bincount(sentences)[order])
    tested = np.isin(sentences, order[: max(1, int((sizes <= held_out).sum()))])
    mapping = align(first[~tested], second[~tested])
    estimates = [
        [
            retrieve(states, second[tested], sentences[tested], method, repeats, seed)
            for states in (first[tested], mapping.apply(first[tested]))
        ]
        for method in METHODS
    ]
    # The mean of both directions; they are of the same words, so their intervals are, too.
    parts = np.array(estimates, dtype=np.float64).mean(axis=2)
    return xr.Dataset(
        {
            f"retrieval{ending}": (("method", "stage"), parts[..., place])
            for place, ending in enumerate(("", "_floor", "_low", "_high"))
        },
        coords={"method": list(METHODS), "stage": ["before", "after"]},
    )
