"""Permutational analysis of variance with two factors: how much does each explain of distances?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import factorial, prod

import numpy as np

# Largest share of the variance that counts as none.
NOTHING = 1e-12


@dataclass(frozen=True)
class Effect:
    """What one factor explains beyond the other.

    Attributes
    ----------
    F : float
        Pseudo-F; infinite if both factors together explain everything.
    explained : float
        Share of the squared distances that the factor explains beyond the other factor. The
        remainder of both is unexplained, or cannot be told apart.
    p : float
        Share of permutations with at least this F. Labels are permuted among the models that
        agree in the other factor, whose effect is so kept.
    floor : float
        The smallest p that the test can give: 1 over the number of different permutations of so
        many models, or over the number that is drawn.
    """

    F: float
    explained: float
    p: float
    floor: float


UNDEFINED = Effect(np.nan, np.nan, np.nan, np.nan)


def explained_beyond(
    distances: np.ndarray, factor: Sequence[object], other: Sequence[object]
) -> float:
    """Share of the squared distances that a factor explains beyond another; see `Effect`.

    NaN if all distances are 0, if the factor does not vary where the other one is constant, or if
    there are too few models: as many as the two factors need to explain everything.
    """
    fixed = _groups(other)
    return _ratios(_inner_products(distances), _groups(factor), fixed, _projection(fixed))[1]


def permanova_beyond(
    distances: np.ndarray,
    factor: Sequence[object],
    other: Sequence[object],
    permutations: int = 999,
    seed: int = 1,
) -> Effect:
    """The effect of a factor beyond another (Anderson 2001; McArdle and Anderson 2001).

    Sums of squares are marginal: what the model with both factors explains, less what the other
    factor alone explains. The two factors add; an interaction is part of the remainder.

    Parameters
    ----------
    distances : float array (n, n)
    factor, other : sequence (n,)
        The label of each model.
    permutations, seed : int
        Number of random permutations, and their seed.

    Returns
    -------
    Effect
        NaN where it is not defined; see `explained_beyond`.
    """
    inner, groups, fixed = _inner_products(distances), _groups(factor), _groups(other)
    alone = _projection(fixed)
    found, explained = _ratios(inner, groups, fixed, alone)
    if np.isnan(explained):
        return UNDEFINED
    random = np.random.default_rng(seed)
    higher = 0
    for _ in range(permutations):
        shuffled = groups.copy()
        for value in np.unique(fixed):
            members = np.flatnonzero(fixed == value)
            shuffled[members] = groups[random.permutation(members)]
        # The tolerance lets the same grouping count as equal despite rounding.
        higher += _ratios(inner, shuffled, fixed, alone)[0] >= found * (1 - 1e-9)
    p = (higher + 1) / (permutations + 1)
    floor = max(1 / _arrangements(groups, fixed), 1 / (permutations + 1))
    return Effect(found, explained, p, floor)


def _ratios(
    inner: np.ndarray, groups: np.ndarray, fixed: np.ndarray, alone: tuple[np.ndarray, int]
) -> tuple[float, float]:
    """Pseudo-F and explained share of a factor beyond the fixed one, projected on by `alone`."""
    projection_alone, rank_alone = alone
    both, rank = _projection(fixed, groups)
    total = np.trace(inner)
    if total <= 0 or rank == rank_alone or rank >= len(inner):
        return np.nan, np.nan
    between = ((both - projection_alone) * inner).sum()
    remainder = total - (both * inner).sum()
    explained = float(between / total)
    if remainder <= NOTHING * total:
        return np.inf, explained
    ratio = between / (rank - rank_alone) / (remainder / (len(inner) - rank))
    return float(ratio), explained


def _inner_products(distances: np.ndarray) -> np.ndarray:
    """Inner products (n, n) of the centred points with these distances (Gower 1966)."""
    number = len(distances)
    centring = np.eye(number) - 1 / number
    inner: np.ndarray = -centring @ (np.asarray(distances, dtype=float) ** 2) @ centring / 2
    return inner


def _projection(*factors: np.ndarray) -> tuple[np.ndarray, int]:
    """Projection (n, n) on the space that factors and a constant span, and its rank."""
    columns = [np.eye(factor.max() + 1)[factor] for factor in factors]
    left, sizes, _ = np.linalg.svd(np.hstack(columns), full_matrices=False)
    kept = left[:, sizes > 1e-9 * sizes[0]]
    return kept @ kept.T, kept.shape[1]


def _groups(labels: Sequence[object]) -> np.ndarray:
    groups: np.ndarray = np.unique([str(label) for label in labels], return_inverse=True)[1]
    return groups


def _arrangements(groups: np.ndarray, fixed: np.ndarray) -> int:
    """Number of different permutations of `groups` among models of equal `fixed`."""
    found = 1
    for value in np.unique(fixed):
        counts = Counter(groups[fixed == value].tolist()).values()
        found *= factorial(sum(counts)) // prod(map(factorial, counts))
    return found
