"""Floors and intervals, the same way for all measures.

Floor: the measure where nothing is there to be found, by permuting rows or labels.
Interval: the measure on halves of the sentences, drawn without replacement. The variance of a mean
over half of the sentences, given all of them, is that of the mean over all (the delete-half
jackknife; Shao & Wu 1989). An ordinary bootstrap draws sentences twice, and these copies would be
each other's nearest neighbours and pairs of cosine 1. Here no sentence meets a copy of itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .checks import Floats, Integers, as_labels, as_pair
from .errors import RepresentationError

Z_95 = 1.959963984540054
FEWEST_SENTENCES = 4


class Estimate(NamedTuple):
    """A number with what it needs to be read.

    Attributes
    ----------
    value : float
    floor : float
        Mean of the same measure where nothing is there to be found.
    low, high : float
        Interval of 95 % over sentences; NaN where there are fewer than FEWEST_SENTENCES or none
        was asked for.
    """

    value: float
    floor: float
    low: float
    high: float


def half_samples(sentences: ArrayLike, repeats: int, seed: int) -> Iterator[Integers]:
    """Rows of half of the sentences, `repeats` times.

    Parameters
    ----------
    sentences : array (samples,)
        Sentence of every row.
    """
    labels = as_labels(sentences, len(np.asarray(sentences)), "sentences")
    number = int(labels.max()) + 1
    draw = np.random.default_rng(seed)
    for _ in range(repeats):
        chosen = np.zeros(number, dtype=bool)
        chosen[draw.permutation(number)[: number // 2]] = True
        yield np.flatnonzero(chosen[labels])


def interval(
    statistic: Callable[[Integers], float],
    sentences: ArrayLike,
    value: float,
    repeats: int = 20,
    seed: int = 0,
) -> tuple[float, float]:
    """Interval of 95 % over sentences: value ± 1.96 standard deviations over halves.

    Parameters
    ----------
    statistic : callable (rows) -> float
        The measure on some of the rows.
    sentences : array (samples,)
    value : float
        The measure on all rows.
    repeats : int
        Number of halves; with fewer than 2 there is no interval.

    Returns
    -------
    low, high : float
        NaN where the measure needs more than half of the sentences.
    """
    if repeats < 2 or len(np.unique(np.asarray(sentences))) < FEWEST_SENTENCES:
        return np.nan, np.nan
    try:
        halves = [statistic(rows) for rows in half_samples(sentences, repeats, seed)]
    except RepresentationError:
        return np.nan, np.nan
    reach = Z_95 * float(np.std(halves, ddof=1))
    return value - reach, value + reach


def interval_of_mean(
    values: Floats, sentences: ArrayLike, repeats: int = 20, seed: int = 0
) -> tuple[float, float]:
    """The same for the mean of a number per row (samples,)."""
    return interval(
        lambda rows: float(values[rows].mean()), sentences, float(values.mean()), repeats, seed
    )


def permutations(samples: int, repeats: int, seed: int) -> Iterator[Integers]:
    """Permutations of the rows, `repeats` times."""
    draw = np.random.default_rng(seed)
    for _ in range(repeats):
        yield draw.permutation(samples)


def estimate(
    measure: Callable[[Floats, Floats], float],
    first: ArrayLike,
    second: ArrayLike,
    sentences: ArrayLike,
    floor_repeats: int = 1,
    repeats: int = 20,
    seed: int = 0,
) -> Estimate:
    """A measure of two views with its floor and its interval.

    Parameters
    ----------
    measure : callable (first, second) -> float
        Such as representations.rsa.rsa; its rows are the same words in both views.
    first, second : array (samples, dimensions)
    sentences : array (samples,)
    floor_repeats : int
        How often the second view's rows are permuted for the floor.
    repeats : int
        Number of halves for the interval; 0 for none.
    seed : int
    """
    one, two = as_pair(first, second)
    value = measure(one, two)
    floor = [measure(one, two[rows]) for rows in permutations(len(two), floor_repeats, seed)]
    low, high = interval(
        lambda rows: measure(one[rows], two[rows]), sentences, value, repeats, seed
    )
    return Estimate(value, float(np.mean(floor)) if floor else np.nan, low, high)
