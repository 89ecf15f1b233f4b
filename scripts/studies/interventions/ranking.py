"""How well an estimator ranks interventions: rank correlations, with intervals and a null."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from losschange.claims.judging import INTERVAL, MOST_UNDEFINED
from losschange.claims.statistics import kendall, ranks, spearman

from .points import Measured, Point, cost_text

# Below this many points an order is no order.
FEWEST = 3
# Up to so many points all orders are tried, of more so many random ones.
MOST_TRIED, PERMUTATIONS = 7, 4999
Correlation = Callable[[np.ndarray, np.ndarray], float]
CORRELATIONS: dict[str, Correlation] = {"spearman": spearman, "kendall": kendall}


@dataclass(frozen=True)
class Ranking:
    """Rank correlations of predicted and measured numbers.

    Attributes
    ----------
    number : int
        Points.
    spearman, kendall : (value, low, high)
        With a 95 % interval over points and over the rows of the probe; NaN where not defined.
    chance : float
        p value: share of the pairings of predictions and measurements whose ρ is at least as high,
        of all pairings or of many random ones. NaN where ρ is not defined.
    below : float
        Share of the points whose measured number is below the predicted one.
    """

    number: int
    spearman: tuple[float, float, float]
    kendall: tuple[float, float, float]
    chance: float
    below: float


def interval(drawn: np.ndarray) -> tuple[float, float]:
    """Bounds of 95 % of the resamplings; NaN if many of them are not defined."""
    known = drawn[~np.isnan(drawn)]
    if len(known) < (1 - MOST_UNDEFINED) * len(drawn):
        return np.nan, np.nan
    low, high = np.percentile(known, INTERVAL)
    return float(low), float(high)


def rank(predicted: np.ndarray, measured: Sequence[Measured], seed: int) -> Ranking:
    """Compare the order of predictions with that of measurements.

    Parameters
    ----------
    predicted : float array (points,)
    measured : sequence of Measured
        In the same order.
    seed : int
        Of the resampling of points and of the random pairings.
    """
    number, nothing = len(predicted), (np.nan, np.nan, np.nan)
    values = np.array([one.value for one in measured])
    below = float((values < predicted).mean()) if number else np.nan
    if number < FEWEST or np.isnan(predicted).any():
        return Ranking(number, nothing, nothing, np.nan, below)
    drawn = np.stack([one.drawn for one in measured])
    random = np.random.default_rng([seed, number])
    chosen = random.integers(0, number, (drawn.shape[1], number))
    found = {}
    for name, correlate in CORRELATIONS.items():
        resampled = [
            correlate(predicted[places], drawn[places, draw])
            for draw, places in enumerate(chosen)
            if len(set(places.tolist())) >= FEWEST
        ]
        found[name] = (correlate(predicted, values), *interval(np.array(resampled)))
    chance = _chance(predicted, values, seed)
    return Ranking(number, found["spearman"], found["kendall"], chance, below)


def rank_points(points: Sequence[Point], estimator: str, seed: int) -> Ranking:
    """How an estimator ranks interventions, by the cost on its own text."""
    text = cost_text(estimator)
    known = [point for point in points if estimator in point.predicted and text in point.costs]
    predicted = np.array([point.predicted[estimator] for point in known])
    return rank(predicted, [point.costs[text] for point in known if text], seed)


def _chance(predicted: np.ndarray, values: np.ndarray, seed: int) -> float:
    """Share of the pairings whose ρ is at least as high; the one that was found is among them."""
    number = len(values)
    one, other = (ranks(found) - (number + 1) / 2 for found in (predicted, values))
    if not one.any() or not other.any():
        return np.nan
    if number <= MOST_TRIED:
        orders = np.array(list(permutations(range(number))))
    else:
        random = np.random.default_rng([seed, number, 1])
        found = [random.permutation(number) for _ in range(PERMUTATIONS)]
        orders = np.array([np.arange(number), *found])
    # ρ grows with the product of the ranks; rounding must not make an equal pairing a lower one.
    return float((one[orders] @ other >= one @ other - 1e-9).mean())
