"""Influence of a group of words on the others of their sentences (Voita et al. 2019, section 5).

The model is run twice through one layer, the second time with one word of each sentence hidden as a
key. What changes in the states of all other words is what that word told them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .checks import Integers, as_labels, as_pair
from .errors import RepresentationError
from .pwcca import pwcca_distance
from .resampling import Estimate, estimate


def choose_words(group: ArrayLike, sentences: ArrayLike, seed: int = 0) -> Integers:
    """One random word of the group from every sentence that has one: its row (chosen,).

    Parameters
    ----------
    group : bool array (words,)
        Whether each word belongs to the group.
    sentences : array (words,)

    Raises
    ------
    RepresentationError
        If no word belongs to the group, or a sentence has no other word.
    """
    member = np.asarray(group, dtype=bool)
    labels = as_labels(sentences, len(member), "sentences")
    alone = np.bincount(labels)[labels] < 2
    rows = np.flatnonzero(member & ~alone)
    if not len(rows):
        raise RepresentationError(
            "no word of the group stands in a sentence with others, so its influence cannot be "
            "measured; the group may be an empty frequency bin"
        )
    rows = np.random.default_rng(seed).permutation(rows)
    return np.sort(rows[np.unique(labels[rows], return_index=True)[1]])


def influence(
    plain: ArrayLike,
    hidden: ArrayLike,
    sentences: ArrayLike,
    words: ArrayLike,
    samples: int | None = None,
    repeats: int = 0,
    seed: int = 0,
) -> Estimate:
    """PWCCA distance of the states of all other words, with and without the hidden ones.

    Parameters
    ----------
    plain, hidden : array (words, dimensions)
        States at a layer's output, as they are and with `words` hidden as keys in that layer.
    sentences : array (words,)
    words : int array
        Rows of the hidden words, at most one in a sentence; they and the sentences without one
        are left out.
    samples : int, optional
        How many of the other words are drawn: as many for every group. By default all.
    repeats : int
        Halves for the interval, 0 for none.
    seed : int

    Returns
    -------
    Estimate
        0 where hiding changes nothing. The floor is the distance of unrelated rows: the farthest
        that a distance of so many samples goes.

    Raises
    ------
    RepresentationError
        If two hidden words share a sentence, or fewer than `samples` other words are left.
    """
    one, two = as_pair(plain, hidden)
    labels = as_labels(sentences, len(one), "sentences")
    chosen = np.asarray(words, dtype=np.int64)
    twice = np.flatnonzero(np.bincount(labels[chosen]) > 1)
    if len(twice):
        raise RepresentationError(
            f"{np.bincount(labels[chosen])[twice[0]]} words of one sentence are hidden; hide one"
        )
    other = np.isin(labels, labels[chosen])
    other[chosen] = False
    rows = np.flatnonzero(other)
    if samples is not None:
        if len(rows) < samples:
            raise RepresentationError(
                f"{len(rows)} other words are left, needed are {samples} as for every group"
            )
        rows = np.sort(np.random.default_rng(seed).permutation(rows)[:samples])
    return estimate(pwcca_distance, one[rows], two[rows], labels[rows], repeats=repeats, seed=seed)
