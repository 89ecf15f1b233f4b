"""Isotropy: how much all states of a layer point the same way (Ethayarajh 2019, section 3.3)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .checks import Floats, Integers, as_labels, as_states, unit_rows
from .errors import RepresentationError
from .resampling import Estimate, interval


def average_similarity(states: ArrayLike) -> float:
    """AvgSim: mean cosine of all pairs of different samples, exact, without drawing any.

    With unit rows u_i it is (‖Σ u_i‖² − n) / (n² − n).

    Parameters
    ----------
    states : array (samples, dimensions)

    Raises
    ------
    RepresentationError
        With fewer than two samples, or if one is zero.
    """
    return _mean_cosine(unit_rows(as_states(states)))


def average_squared_distance(states: ArrayLike) -> float:
    """Mean squared Euclidean distance of all pairs of different samples, exact.

    It is 2n/(n−1) times the mean squared distance to the mean. Read it beside the norms: a
    distance grows with the length of the states, a cosine does not.
    """
    found = as_states(states)
    deviations = found - found.mean(axis=0)
    return float(2 * np.square(deviations).sum() / (len(found) - 1))


def estimate_average_similarity(
    states: ArrayLike, sentences: ArrayLike, repeats: int = 20, seed: int = 0
) -> Estimate:
    """AvgSim with its floor, the same states with random signs, and its interval.

    Random signs keep every axis and take away the direction that all states share; what is left
    is what a finite number of samples gives.
    """
    unit = unit_rows(as_states(states))
    value = _mean_cosine(unit)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], len(unit))
    low, high = interval(lambda rows: _mean_cosine(unit[rows]), sentences, value, repeats, seed)
    return Estimate(value, _mean_cosine(unit * signs[:, None]), low, high)


class PairSample(NamedTuple):
    """Random pairs of words from different sentences.

    Attributes
    ----------
    first, second : int array (pairs,)
        Rows of the two words.
    cosine, euclid : float array (pairs,)
        Cosine and Euclidean distance of the two states.
    norms : float array (samples,)
        Length of every state, in the unit of the states.
    """

    first: Integers
    second: Integers
    cosine: Floats
    euclid: Floats
    norms: Floats


def sample_pairs(
    states: ArrayLike, sentences: ArrayLike, pairs: int = 100_000, seed: int = 0
) -> PairSample:
    """Cosines and distances of random pairs, for their distribution.

    Words are drawn with equal chances. Drawing a sentence first and then a word in it would let
    words of short sentences weigh more.

    Raises
    ------
    RepresentationError
        If all words stand in one sentence.
    """
    found = as_states(states)
    labels = as_labels(sentences, len(found), "sentences")
    if labels.max() == 0:
        raise RepresentationError(
            "all words stand in one sentence, so there are no pairs from different sentences"
        )
    draw = np.random.default_rng(seed)
    first = np.empty(0, dtype=np.int64)
    second = first
    while len(first) < pairs:
        some = draw.integers(len(found), size=(2, pairs))
        some = some[:, labels[some[0]] != labels[some[1]]]
        first, second = np.append(first, some[0]), np.append(second, some[1])
    first, second = first[:pairs], second[:pairs]
    unit = unit_rows(found)
    cosine, euclid = np.empty(pairs), np.empty(pairs)
    # In blocks: all pairs at once would be as large as many copies of the states.
    for start in range(0, pairs, 10_000):
        here = slice(start, start + 10_000)
        cosine[here] = np.einsum("ij,ij->i", unit[first[here]], unit[second[here]])
        euclid[here] = np.linalg.norm(found[first[here]] - found[second[here]], axis=1)
    return PairSample(first, second, cosine, euclid, np.linalg.norm(found, axis=1))


def _mean_cosine(unit: Floats) -> float:
    n = len(unit)
    total = unit.sum(axis=0)
    return float((total @ total - n) / (n * n - n))
