"""Change of a group of words from layer to layer (Voita et al. 2019, section 5)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from .checks import Integers, as_labels, as_pair
from .pwcca import pwcca_distance
from .resampling import Estimate, estimate


def change(
    lower: ArrayLike,
    upper: ArrayLike,
    sentences: ArrayLike,
    groups: Sequence[Integers] | None = None,
    repeats: int = 0,
    seed: int = 0,
) -> list[Estimate]:
    """PWCCA distance of the states of two consecutive layers, for every group of words.

    Parameters
    ----------
    lower, upper : array (words, dimensions)
        The same words in layers l and l + 1; weighed by the lower one.
    sentences : array (words,)
    groups : sequence of int array, optional
        Rows of each group, as many in all: see representations.words.equal_numbers. By default
        one group of all words.
    repeats : int
        Halves for the interval, 0 for none: each takes another PWCCA.
    seed : int

    Returns
    -------
    list of Estimate
        One per group. The floor is the distance of unrelated rows: the farthest that a distance
        of so many samples goes.

    Raises
    ------
    RepresentationError
        As representations.pwcca does, if a group has too few words.
    """
    one, two = as_pair(lower, upper)
    where = as_labels(sentences, len(one), "sentences")
    return [
        estimate(pwcca_distance, one[rows], two[rows], where[rows], repeats=repeats, seed=seed)
        for rows in (groups if groups is not None else [np.arange(len(one))])
    ]
