"""What a word's nearest words share with it (Voita et al. 2019, section 6)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .checks import Floats, Integers, as_labels, as_states, unit_rows
from .errors import RepresentationError
from .resampling import Estimate, interval_of_mean, permutations

NEIGHBOURS = 10
# Words whose cosines with all others are in memory at a time.
BLOCK = 512


def nearest(
    states: ArrayLike, sentences: ArrayLike, k: int = NEIGHBOURS, seed: int = 0
) -> Integers:
    """The k nearest words of every word by cosine, from other sentences only (words, k).

    Words that are equally near, such as those with the same state, are taken in random order.
    Within the k the order has no meaning.

    Parameters
    ----------
    states : array (words, dimensions)
    sentences : array (words,)
    k : int
    seed : int

    Raises
    ------
    RepresentationError
        If a word has fewer than k others outside its sentence.
    """
    unit = unit_rows(as_states(states))
    labels = as_labels(sentences, len(unit), "sentences")
    fewest = len(labels) - int(np.bincount(labels).max())
    if not 1 <= k <= fewest:
        raise RepresentationError(
            f"{k} neighbours from other sentences were asked for; some words have only {fewest} "
            "words outside their sentence"
        )
    order = np.random.default_rng(seed).permutation(len(unit))
    # float32: cosines are told apart to 1e-7, at half the time and memory.
    shuffled, where = unit[order].astype(np.float32), labels[order]
    found = np.empty((len(unit), k), dtype=np.int64)
    for start in range(0, len(unit), BLOCK):
        here = slice(start, start + BLOCK)
        cosines = shuffled[here] @ shuffled.T
        cosines[where[here, None] == where] = -np.inf
        best = np.argpartition(cosines, -k, axis=1)[:, -k:]
        found[order[here]] = order[best]
    return found


def share_with_same(
    neighbours: Integers,
    labels: ArrayLike,
    sentences: ArrayLike,
    repeats: int = 20,
    seed: int = 0,
) -> Estimate:
    """Share of neighbours with the same label: word, left or right neighbour, tag.

    Parameters
    ----------
    neighbours : int array (words, k)
        From `nearest`.
    labels : array (words,)
        Words with the label "" have none (no left neighbour at the beginning of a sentence):
        they are not asked, and are nobody's match.
    sentences : array (words,)

    Returns
    -------
    Estimate; its floor permutes the labels.

    Raises
    ------
    RepresentationError
        If no word has a label.
    """
    found = np.asarray(labels)
    numbers = as_labels(found, len(neighbours), "labels")
    asked = np.flatnonzero(found != "")
    if not len(asked):
        raise RepresentationError("no word has a label, so no neighbours can share it")

    def shares(order: Integers) -> Floats:
        # Labels are permuted among the words that have one.
        mixed = numbers.copy()
        mixed[asked] = numbers[asked[order]]
        same = mixed[neighbours[asked]] == mixed[asked, None]
        return np.asarray(same.mean(axis=1))

    plain = shares(np.arange(len(asked)))
    [order] = permutations(len(asked), 1, seed)
    value = float(plain.mean())
    low, high = interval_of_mean(plain, np.asarray(sentences)[asked], repeats, seed)
    return Estimate(value, float(shares(order).mean()), low, high)


def position_distance(
    neighbours: Integers,
    types: ArrayLike,
    positions: ArrayLike,
    sentences: ArrayLike,
    repeats: int = 20,
    seed: int = 0,
) -> Estimate:
    """Mean distance, in words, of the positions of a word and its neighbours of the same type.

    Parameters
    ----------
    neighbours : int array (words, k)
    types, positions, sentences : array (words,)

    Returns
    -------
    Estimate; its floor permutes the positions among the occurrences of each type. NaN where no
    neighbours are of the same type.
    """
    labels = as_labels(types, len(neighbours), "types")
    place = np.asarray(positions, dtype=np.float64)
    queries, columns = np.nonzero(labels[neighbours] == labels[:, None])
    mates = neighbours[queries, columns]
    if not len(queries):
        return Estimate(np.nan, np.nan, np.nan, np.nan)
    distances = np.abs(place[queries] - place[mates])
    shuffled = np.random.default_rng(seed).permutation(len(place))
    # Sorting both orders by type deals the positions of each type anew.
    mixed = np.empty_like(place)
    by_type = np.argsort(labels, kind="stable")
    mixed[by_type] = place[shuffled[np.argsort(labels[shuffled], kind="stable")]]
    floor = float(np.abs(mixed[queries] - mixed[mates]).mean())
    value = float(distances.mean())
    low, high = interval_of_mean(distances, np.asarray(sentences)[queries], repeats, seed)
    return Estimate(value, floor, low, high)
