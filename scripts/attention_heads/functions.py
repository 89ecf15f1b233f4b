"""What the heads of a model look at: positions, rare tokens, syntactic relations.

Everything is counted in groups of sentences, so that the groups can be resampled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from .handle import ModelHandle
from .passes import attention_weights
from .positional import OFFSETS, positional
from .rare import rare
from .ratios import ratio
from .syntactic import DIRECTIONS, RELATIONS, Syntactic, SyntaxCounter
from .treebank import Sentence

COORDINATES: Mapping[str, Sequence[object]] = {
    "offset": list(OFFSETS),
    "rarest": [1, 2],
    "relation": list(RELATIONS),
    "direction": list(DIRECTIONS),
}


@dataclass(frozen=True)
class Counts:
    """How often the heads of one attention type did something that they could have done.

    Parameters
    ----------
    hits : array (groups, layers, heads, ...)
    chances : array (groups, ...)
        How often they could have.
    baseline : array (groups, ...)
        Expected hits without attention: of a random key, or at the best fixed offset.
    """

    hits: np.ndarray
    chances: np.ndarray
    baseline: np.ndarray

    @property
    def rates(self) -> np.ndarray:
        """Hits per chance over all groups (layers, heads, ...); NaN without chances."""
        return ratio(self.hits.sum(0), self.chances.sum(0))


@dataclass(frozen=True)
class GoldSentences:
    """Batches of sentences with known syntax.

    Parameters
    ----------
    batches : sequence
        As the handle takes them.
    words : sequence (batches) of mapping of side to list of list of int
        The word that every token of a sentence belongs to; negative for none.
    sentences : sequence (batches) of mapping of side to list of Sentence
    """

    batches: Sequence[Any]
    words: Sequence[Mapping[str, list[list[int]]]]
    sentences: Sequence[Mapping[str, list[Sentence]]]


def count_positions(
    handle: ModelHandle, groups: Sequence[Sequence[Any]], seed: int
) -> dict[str, Counts]:
    """How often the largest weight lies at each offset of positional.OFFSETS.

    Parameters
    ----------
    handle : ModelHandle
    groups : sequence of sequence of batches
    seed : int
        Breaks ties.
    """
    found = [positional(handle, batches, seed) for batches in groups]
    result = {}
    for name in handle.attentions:
        chances = np.stack([each[name].queries for each in found]).astype(float)
        rates = np.stack([np.nan_to_num(each[name].rates) for each in found])
        result[name] = Counts(rates * chances[:, None, None], chances, np.zeros_like(chances))
    return result


def count_rare(
    handle: ModelHandle,
    groups: Sequence[Sequence[Any]],
    ranks: dict[str, Tensor],
    seed: int,
    frequent: int,
) -> dict[str, Counts]:
    """How often heads look at the rarest token, and at one of the two rarest.

    Parameters
    ----------
    handle : ModelHandle
    groups : sequence of sequence of batches
    ranks, seed, frequent
        See attention_heads.rare.rare.
    """
    found = [rare(handle, batches, ranks, seed, frequent) for batches in groups]
    result = {}
    for name in handle.attentions:
        chances = np.array([[each[name].queries] * 2 for each in found], dtype=float)
        rates = np.stack([np.nan_to_num(each[name].rates) for each in found])
        chance = np.stack([np.nan_to_num(each[name].baseline) for each in found])
        result[name] = Counts(rates * chances[:, None, None], chances, chance * chances)
    return result


def count_syntax(
    handle: ModelHandle, groups: Sequence[GoldSentences], seed: int
) -> tuple[dict[str, Counts], dict[str, dict[tuple[str, str], Syntactic]]]:
    """How often heads of self-attention look from one end of a relation to the other.

    Parameters
    ----------
    handle : ModelHandle
    groups : sequence of GoldSentences
    seed : int
        Breaks ties.

    Returns
    -------
    counts : dict of attention name to Counts
        Last axes relation x direction; attentions between two texts are left out, and those of a
        side without known syntax.
    whole : dict of attention name to what SyntaxCounter.results gives for all groups
    """
    counters: dict[str, list[SyntaxCounter]] = {}
    for number, group in enumerate(groups):
        for name, counter in _counted(handle, group, seed + number).items():
            counters.setdefault(name, []).append(counter)
    counts, whole = {}, {}
    for name, each in counters.items():
        joined = SyntaxCounter(each[0].layers, each[0].heads, seed, each[0].causal)
        for counter in each:
            joined.include(counter)
        whole[name] = joined.results()
        counts[name] = _as_counts([counter.results() for counter in each], whole[name])
    return counts, whole


def _counted(handle: ModelHandle, group: GoldSentences, seed: int) -> dict[str, SyntaxCounter]:
    counters: dict[str, SyntaxCounter] = {}
    for batch, words, sentences in zip(group.batches, group.words, group.sentences):
        weights = attention_weights(handle, batch)
        for name, about in handle.attentions.items():
            side = about.query
            if about.key != side or side not in sentences:
                continue
            counter = counters.setdefault(
                name, SyntaxCounter(about.layers, about.heads, seed, about.causal)
            )
            layers = np.stack([each.float().cpu().numpy() for each in weights[name]])
            for row, (owner, sentence) in enumerate(zip(words[side], sentences[side])):
                length = len(owner)
                counter.add(layers[:, row, :, :length, :length], owner, sentence.relations)
    return counters


def _as_counts(
    groups: Sequence[Mapping[tuple[str, str], Syntactic]],
    whole: Mapping[tuple[str, str], Syntactic],
) -> Counts:
    """Counts by group; the baseline is the offset that is best over all groups."""
    keys = [(relation, direction) for relation in RELATIONS for direction in DIRECTIONS]
    shape = (len(RELATIONS), len(DIRECTIONS))
    chances = np.array([[each[key].relations for key in keys] for each in groups], dtype=float)
    rates = np.stack([np.stack([np.nan_to_num(g[k].rates) for k in keys], -1) for g in groups])
    expected = np.nan_to_num(np.array([whole[key].baseline for key in keys])) * chances
    hits = rates * chances[:, None, None]
    return Counts(
        hits.reshape(*hits.shape[:3], *shape),
        chances.reshape(-1, *shape),
        expected.reshape(-1, *shape),
    )
