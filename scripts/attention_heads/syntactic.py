"""Syntactic heads: those that look from one end of a dependency to the other.

Voita et al. 2019, section 5.2. A head has to do better than the best fixed offset, because many
dependencies hold between neighbours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from .errors import HeadsError
from .treebank import Relation
from .words import word_attention

# The relations of Voita et al. 2019, and their labels in Universal Dependencies (versions 1, 2).
RELATIONS: Mapping[str, tuple[str, ...]] = {
    "nsubj": ("nsubj",),
    "obj": ("obj", "dobj"),
    "amod": ("amod",),
    "advmod": ("advmod",),
}
DIRECTIONS = ("dependent to head", "head to dependent")
LEAST_GAIN = 0.1


@dataclass(frozen=True)
class Syntactic:
    """How often the heads of one attention type follow one relation in one direction.

    Parameters
    ----------
    rates : array (layers, heads)
        Share of the relations at whose other end the largest weight lies; NaN without any.
    baseline : float
        Share that lies at the best fixed distance in words.
    offset : int or None
        That distance.
    relations : int
        Number of relations that were seen.
    reason : str or None
        Why nothing can be said, where nothing can.
    """

    rates: np.ndarray
    baseline: float
    offset: int | None
    relations: int
    reason: str | None = None

    @property
    def is_syntactic(self) -> np.ndarray:
        """Heads at least 10 percentage points above the best offset (layers, heads)."""
        result: np.ndarray = (
            np.nan_to_num(self.rates, nan=-1.0) >= self.baseline + LEAST_GAIN - 1e-12
        )
        return result


@dataclass
class SyntaxCounter:
    """Counts, sentence by sentence, how often every head follows every relation.

    Parameters
    ----------
    layers, heads : int
    seed : int
        Breaks ties between equal weights.
    causal : bool
        Whether a word sees only itself and the words before it; relations whose other end cannot
        be seen are left out.
    relations : mapping of name to labels
        Subtypes such as nsubj:pass count as their type.
    """

    layers: int
    heads: int
    seed: int
    causal: bool = False
    relations: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: RELATIONS)

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.seed)
        self._names = {label: name for name, labels in self.relations.items() for label in labels}
        keys = [(name, direction) for name in self.relations for direction in DIRECTIONS]
        self._hits = {key: np.zeros((self.layers, self.heads), dtype=int) for key in keys}
        self._offsets: dict[tuple[str, str], Counter[int]] = {key: Counter() for key in keys}
        self._sentences = 0

    def add(self, weights: np.ndarray, words: Sequence[int], relations: Sequence[Relation]) -> None:
        """Count one sentence.

        Parameters
        ----------
        weights : array (layers, heads, pieces, pieces)
            Attention of the sentence to itself.
        words : sequence of int
            The word that every piece belongs to; negative for symbols that belong to none.
        relations : sequence of Relation
            Those of words that were cut off are ignored.

        Raises
        ------
        HeadsError
            If the shape of the weights does not fit.
        """
        expected = (self.layers, self.heads, len(words), len(words))
        if weights.shape != expected:
            raise HeadsError(f"attention weights of shape {weights.shape}, expected {expected}")
        self._sentences += 1
        between = word_attention(weights.reshape(-1, *weights.shape[2:]), words, words)
        between = between.reshape(self.layers, self.heads, *between.shape[1:])
        complete = set(words)
        for relation in relations:
            name = self._names.get(relation.label.partition(":")[0])
            ends = (relation.dependent, relation.head)
            if name is None or not complete.issuperset(ends):
                continue
            for direction, (source, target) in zip(DIRECTIONS, (ends, ends[::-1])):
                if not self.causal or target <= source:
                    self._count((name, direction), between[:, :, source], source, target)

    def _count(self, key: tuple[str, str], rows: np.ndarray, source: int, target: int) -> None:
        """Count one relation; rows (layers, heads, words) are the weights of the word `source`."""
        end = source + 1 if self.causal else rows.shape[-1]
        rows = np.where(np.arange(rows.shape[-1]) < end, rows, -1.0)
        tied = rows >= rows.max(-1, keepdims=True) - 1e-12
        order = np.where(tied, self._random.random(rows.shape), -1.0)
        self._hits[key] += order.argmax(-1) == target
        self._offsets[key][target - source] += 1

    def include(self, other: SyntaxCounter) -> None:
        """Add the counts of another counter, of the same heads and relations."""
        for key, hits in other._hits.items():
            self._hits[key] = self._hits[key] + hits
            self._offsets[key].update(other._offsets[key])
        self._sentences += other._sentences

    def results(self) -> dict[tuple[str, str], Syntactic]:
        """What was found, for every relation and direction."""
        found = {}
        for key, hits in self._hits.items():
            total = sum(self._offsets[key].values())
            if total:
                offset, number = self._offsets[key].most_common(1)[0]
                found[key] = Syntactic(hits / total, number / total, offset, total)
            else:
                name, direction = key
                reason = (
                    f"the relation {name} ({direction}) never occurs "
                    f"in the {self._sentences} sentences given"
                )
                nothing = np.full(hits.shape, np.nan)
                found[key] = Syntactic(nothing, np.nan, None, 0, reason)
        return found
