"""Aligning two spaces by an orthogonal map, and how well words then find their counterparts.

Cosines divide every row by its own norm. Dividing by the norm of the whole matrix instead, as
public code does, leaves long rows long and makes them everybody's nearest neighbour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import orthogonal_procrustes

from .checks import Floats, Integers, as_pair, as_states, centred, unit_rows
from .errors import RepresentationError
from .resampling import Estimate, interval_of_mean, permutations

METHODS = ("cosine", "csls")
NEIGHBOURS = 10
# Cosines closer than this are tied, such as those of identical rows.
TIE = 1e-12


@dataclass(frozen=True)
class Alignment:
    """A map from the first space to the second: shift, rotate, scale, shift.

    Attributes
    ----------
    rotation : float array (d, d)
        Orthogonal; d is the larger of the two dimensions, the narrower view is padded with zeros.
    scale : float
    first_mean, second_mean : float array (d,)
    """

    rotation: Floats
    scale: float
    first_mean: Floats
    second_mean: Floats

    def apply(self, states: ArrayLike) -> Floats:
        """Map states (samples, dimensions) of the first space into the second."""
        found = _padded(as_states(states, "first view", 1), len(self.rotation))
        return (found - self.first_mean) @ self.rotation * self.scale + self.second_mean


class Retrieval(NamedTuple):
    """Share of words whose nearest word of the other space is their own, both ways."""

    forward: Estimate
    backward: Estimate


def align(first: ArrayLike, second: ArrayLike) -> Alignment:
    """The orthogonal map and scale with the least squared error (Schönemann 1966).

    Parameters
    ----------
    first, second : array (samples, dimensions)
        Row i of both is the same word.

    Raises
    ------
    RepresentationError
        If a view is constant.
    """
    one, two = as_pair(first, second)
    width = max(one.shape[1], two.shape[1])
    means = _padded(one, width).mean(axis=0), _padded(two, width).mean(axis=0)
    one, two = centred(one, "first view"), centred(two, "second view")
    one, two = _padded(one, width), _padded(two, width)
    rotation, total = orthogonal_procrustes(one, two)
    return Alignment(np.asarray(rotation, dtype=float), float(total / np.square(one).sum()), *means)


def retrieve(
    first: ArrayLike,
    second: ArrayLike,
    sentences: ArrayLike,
    method: str = "csls",
    repeats: int = 20,
    seed: int = 0,
) -> Retrieval:
    """How often a word's nearest word in the other space is itself.

    Parameters
    ----------
    first, second : array (samples, dimensions)
        Held-out words, the first view already mapped by an Alignment. For a comparison with
        "before", pass it unmapped.
    sentences : array (samples,)
        For the interval: the candidates stay all words, the queries are those of half of the
        sentences.
    method : {"cosine", "csls"}
        csls takes the mean similarity of each word's ten nearest from both sides, so that words
        that are near to everything are not everybody's nearest (Conneau et al. 2018).

    Notes
    -----
    Where several words are equally near, the hit counts by its chance among them. The floor
    permutes which words belong together.

    Raises
    ------
    RepresentationError
        If the method is unknown or a sample is zero.
    """
    one, two = as_pair(first, second)
    width = max(one.shape[1], two.shape[1])
    one = unit_rows(_padded(one, width), "first view")
    two = unit_rows(_padded(two, width), "second view")
    similarity = _similarity(one @ two.T, method)
    [mates] = permutations(len(one), 1, seed)
    found = []
    for scores in (similarity, similarity.T):
        hits = _hits(scores, np.arange(len(scores)))
        value = float(hits.mean())
        low, high = interval_of_mean(hits, sentences, repeats, seed)
        found.append(Estimate(value, float(_hits(scores, mates).mean()), low, high))
    return Retrieval(*found)


def _similarity(cosines: Floats, method: str) -> Floats:
    if method not in METHODS:
        raise RepresentationError(
            f"unknown method {method!r} of retrieval; allowed: {', '.join(METHODS)}"
        )
    if method == "cosine":
        return cosines
    k = min(NEIGHBOURS, len(cosines))
    near_rows = np.partition(cosines, -k, axis=1)[:, -k:].mean(axis=1)
    near_columns = np.partition(cosines, -k, axis=0)[-k:].mean(axis=0)
    return np.asarray(2 * cosines - near_rows[:, None] - near_columns)


def _hits(scores: Floats, mates: Integers) -> Floats:
    """Chance that the best score of each row is that of its mate."""
    tied = scores >= scores.max(axis=1, keepdims=True) - TIE
    return np.asarray(tied[np.arange(len(scores)), mates] / tied.sum(axis=1))


def _padded(states: Floats, width: int) -> Floats:
    return np.pad(states, ((0, 0), (0, width - states.shape[1])))
