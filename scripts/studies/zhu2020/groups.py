"""The 15 groups of Zhu et al. 2020: three matrices of words, and every layer as a whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from losschange.claims.resamples import TimeBins
from losschange.cube.layout import DECODER_EMBEDDING

from .keeping import kept

ENCODER, DECODER, WORDS = "encoder", "decoder", "words"


@dataclass(frozen=True)
class Groups:
    """Which cells of a model belong to which group; every parameter belongs to one group.

    Attributes
    ----------
    names : tuple of str
        en_emb, en1 ... en6, de1 ... de6, de_emb, de_softmax. Where source and target share their
        embedding, emb stands for the first and there is no de_emb; a softmax matrix that is tied
        to an embedding is no group of its own.
    kinds : tuple of str
        ENCODER, DECODER or WORDS, of each group.
    members : bool array (groups, layers, components)
    parameters : float array (groups,)
        Trainable parameters of each group.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    members: np.ndarray
    parameters: np.ndarray

    def sums(self, cells: np.ndarray) -> np.ndarray:
        """Sums (..., groups) of cells (..., layers, components); NaN stands for no cell."""
        found: np.ndarray = np.tensordot(
            np.nan_to_num(cells), self.members.astype(float), axes=((-2, -1), (1, 2))
        )
        return found

    def of_kind(self, kind: str) -> list[int]:
        """Indices of the groups of a kind, in order."""
        return [place for place, found in enumerate(self.kinds) if found == kind]


def groups_of(summary: xr.Dataset) -> Groups:
    """The groups of one model's summary.

    A norm after the last layer of a stack counts to this layer, positions to the (encoder's)
    embedding, and a bias before the softmax to the softmax.
    """
    stacks = [str(stack) for stack in summary["stack"].values]
    components = [str(name) for name in summary["component"].values]
    sizes = summary["n_parameters"].sum("head").values.astype(float)
    own = DECODER_EMBEDDING in components
    first = "en_emb" if own else "emb"
    kinds = {first: WORDS}
    owner = np.full(sizes.shape, first, dtype=object)
    last: dict[str, str] = {}
    for layer, stack in enumerate(stacks):
        if stack in (ENCODER, DECODER):
            name = f"{stack[:2]}{stacks[: layer + 1].count(stack)}"
            owner[layer], kinds[name], last[stack] = name, stack, name
        elif stack == "output":
            owner[layer] = "de_softmax"
            owner[layer, components.index("norm")] = last.get(DECODER, last.get(ENCODER))
    if own:
        kinds["de_emb"] = WORDS
        owner[0, components.index(DECODER_EMBEDDING)] = "de_emb"
    kinds["de_softmax"] = WORDS
    members = {name: owner == name for name in kinds}
    names = tuple(name for name in kinds if sizes[members[name]].sum() > 0)
    return Groups(
        names,
        tuple(kinds[name] for name in names),
        np.stack([members[name] for name in names]),
        np.array([sizes[members[name]].sum() for name in names]),
    )


@kept
def groups_of_bins(bins: TimeBins) -> Groups:
    """The groups of a training."""
    return groups_of(bins.summary)
