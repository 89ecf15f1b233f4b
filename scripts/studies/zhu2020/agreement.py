"""Does an estimator rank the groups as the exact gradient does? Kendall's tau-b, along training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.stats import kendalltau

from losschange.analysis.resampling import local_draw
from losschange.claims.judging import INTERVAL
from losschange.claims.resamples import TimeBins

from .groups import groups_of, groups_of_bins
from .profiles import PER_PARAMETER, read

POINTS = 6
DRAWS = 100


@dataclass(frozen=True)
class Course:
    """Agreement of an estimator with the reference, of what was learnt up to each point.

    Attributes
    ----------
    estimator, reference : str
    updates : float array (points,)
    tau, low, high : float arrays (points,)
        Kendall's tau-b of the groups, and the ends of its 95 % interval.
    """

    estimator: str
    reference: str
    updates: np.ndarray
    tau: np.ndarray
    low: np.ndarray
    high: np.ndarray


def tau(first: np.ndarray, second: np.ndarray) -> float:
    """Kendall's tau-b; NaN if one input does not vary."""
    return float(kendalltau(first, second).statistic)


def null_bound(groups: int) -> float:
    """Absolute tau that unrelated rankings of so many groups exceed in 5 % of cases (no ties).

    From the variance under independence, 2(2n + 5) / 9n(n - 1) (Kendall 1938).
    """
    return 1.96 * float(np.sqrt(2 * (2 * groups + 5) / (9 * groups * (groups - 1))))


def tau_course(
    summary: xr.Dataset,
    estimator: str,
    reference: str,
    reading: str = PER_PARAMETER,
    draws: int = DRAWS,
    seed: int = 1,
) -> Course:
    """Agreement at POINTS points of training.

    The interval is of the noise of training: both estimators are resampled by the local block
    bootstrap, with the same pieces where they have equally many.
    """
    bins = [TimeBins(summary, name) for name in (estimator, reference)]
    begin, end = max(b.begin for b in bins), min(b.ends[-1] for b in bins)
    points = begin + (end - begin) * np.arange(1, POINTS + 1) / POINTS
    random = np.random.default_rng(seed)
    value = _taus(bins, points, reading, None)
    drawn = [_taus(bins, points, reading, int(random.integers(2**63))) for _ in range(draws)]
    low, high = np.nanpercentile(drawn, INTERVAL, axis=0, method="inverted_cdf")
    return Course(estimator, reference, points, value, np.fmin(low, value), np.fmax(high, value))


def split_half(summary: xr.Dataset, estimator: str, reading: str = PER_PARAMETER) -> float:
    """tau of an estimator's even pieces of training with its odd ones: what noise leaves of 1."""
    bins, groups = TimeBins(summary, estimator), groups_of(summary)
    sums = groups.sums(bins.contributions)
    halves = [read(sums[start::2].sum(axis=0), groups, reading) for start in (0, 1)]
    return tau(*halves)


def tau_of_sizes(summary: xr.Dataset, estimator: str, reading: str = PER_PARAMETER) -> float:
    """tau of an estimator with groups that contribute alike: what their sizes alone give.

    Not defined for sums, which would all be equal.
    """
    bins, groups = TimeBins(summary, estimator), groups_of(summary)
    alike = read(np.ones(len(groups.names)), groups, reading)
    return tau(alike, read(groups.sums(bins.contributions).sum(axis=0), groups, reading))


def _taus(bins: list[TimeBins], points: np.ndarray, reading: str, seed: int | None) -> np.ndarray:
    groups = groups_of_bins(bins[0])
    curves = []
    for one in bins:
        sums = groups.sums(one.contributions)
        if seed is not None:
            sums = sums[local_draw(len(sums), np.random.default_rng(seed))]
        running = np.concatenate([np.zeros((1, sums.shape[1])), np.cumsum(sums, axis=0)])
        at = np.append(one.begin, one.ends)
        reached = np.stack([np.interp(points, at, column) for column in running.T], axis=1)
        curves.append(read(reached, groups, reading))
    return np.array([tau(first, second) for first, second in zip(*curves, strict=True)])
