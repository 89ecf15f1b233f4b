"""Representational similarity analysis (Kriegeskorte et al. 2008): do two spaces tell the same
pairs of words apart?"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from .checks import Floats, as_pair, as_states, centred, unit_rows
from .errors import RepresentationError

FEWEST_WORDS = 3
DIGITS = 12


def dissimilarities(states: ArrayLike, centre: bool = True, name: str = "states") -> Floats:
    """1 − cosine of all pairs of samples, the upper triangle row by row (n(n−1)/2,).

    Parameters
    ----------
    states : array (samples, dimensions)
    centre : bool
        Subtract the mean first. Without it a mere shift of all states changes every cosine.
    name : str
        What the error calls the states.

    Raises
    ------
    RepresentationError
        If a sample is zero (after centring: equal to the mean), so that it has no direction.
    """
    found = as_states(states, name, FEWEST_WORDS)
    if centre:
        found = centred(found, name)
    unit = unit_rows(found, name)
    cosines = unit @ unit.T
    return np.asarray(1.0 - cosines[np.triu_indices(len(unit), 1)])


def rsa(first: ArrayLike, second: ArrayLike, centre: bool = True) -> float:
    """Spearman correlation of the dissimilarities of two views.

    1 under rotation, scaling and, if centred, shifting of either view.

    Parameters
    ----------
    first, second : array (samples, dimensions)
        Row i of both is the same word. Time and memory grow with the square of the samples:
        1,000 words are enough.
    centre : bool

    Raises
    ------
    RepresentationError
        With fewer than three samples, or if all pairs of a view are equally far apart.
    """
    one, two = as_pair(first, second, FEWEST_WORDS)
    ranks = []
    for name, states in (("first view", one), ("second view", two)):
        # Equal distances, such as those of repeated words, differ by rounding: make them tie.
        found = np.round(dissimilarities(states, centre, name), DIGITS)
        if np.ptp(found) == 0:
            raise RepresentationError(
                f"all words of the {name} are equally far apart, so they have no ranks"
            )
        place = rankdata(found)
        place -= place.mean()
        ranks.append(place / np.linalg.norm(place))
    return float(np.clip(ranks[0] @ ranks[1], -1.0, 1.0))
