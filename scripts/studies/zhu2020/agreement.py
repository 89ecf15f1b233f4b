"""Does an estimator rank the groups as the exact gradient does? Kendall's tau-b, along training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from losschange.analysis.resampling import local_draw
from losschange.claims.judging import INTERVAL
from losschange.claims.resamples import TimeBins

from .groups import groups_of_bins
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


def tau(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Kendall's tau-b over the last axis; NaN where one of the two does not vary."""
    one, other = np.triu_indices(first.shape[-1], 1)
    signs = [np.sign(values[..., one] - values[..., other]) for values in (first, second)]
    size = np.sqrt(np.prod([(sign**2).sum(axis=-1) for sign in signs], axis=0))
    concordant = (signs[0] * signs[1]).sum(axis=-1)
    return np.divide(concordant, size, out=np.full(np.shape(size), np.nan), where=size > 0)


def null_bound(groups: int) -> float:
    """Absolute tau that unrelated rankings of so many groups exceed in 5 % of cases (no ties).

    From the variance under independence, 2(2n + 5) / 9n(n - 1) (Kendall 1938).
    """
    return 1.96 * float(np.sqrt(2 * (2 * groups + 5) / (9 * groups * (groups - 1))))


def tau_course(
    reference: TimeBins,
    estimator: str,
    reading: str = PER_PARAMETER,
    draws: int = DRAWS,
    seed: int = 1,
) -> Course:
    """Agreement of an estimator with the reference at POINTS points of training.

    The interval is of the noise of training: both estimators are resampled by the local block
    bootstrap, with the same pieces where they have equally many.
    """
    bins = [reference.under(estimator), reference]
    begin, end = max(b.begin for b in bins), min(b.ends[-1] for b in bins)
    points = begin + (end - begin) * np.arange(1, POINTS + 1) / POINTS
    seeds = np.random.default_rng(seed).integers(2**63, size=draws)
    found = tau(*(read(_reached(one, points, seeds), groups_of_bins(one), reading) for one in bins))
    value = found[0]
    low, high = np.nanpercentile(found[1:], INTERVAL, axis=0, method="inverted_cdf")
    return Course(
        estimator, reference.estimator, points, value, np.fmin(low, value), np.fmax(high, value)
    )


def split_half(bins: TimeBins, reading: str = PER_PARAMETER) -> float:
    """tau of an estimator's even pieces of training with its odd ones: what noise leaves of 1."""
    groups = groups_of_bins(bins)
    sums = groups.sums(bins.contributions)
    halves = [read(sums[start::2].sum(axis=0), groups, reading) for start in (0, 1)]
    return float(tau(*halves))


def tau_of_sizes(bins: TimeBins, reading: str = PER_PARAMETER) -> float:
    """tau of an estimator with groups that contribute alike: what their sizes alone give.

    Not defined for sums, which would all be equal.
    """
    groups = groups_of_bins(bins)
    alike = read(np.ones(len(groups.names)), groups, reading)
    found = read(groups.sums(bins.contributions).sum(axis=0), groups, reading)
    return float(tau(alike, found))


def _reached(bins: TimeBins, points: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Contributions (1 + draws, points, groups) up to each point: as recorded, then resampled."""
    sums = groups_of_bins(bins).sums(bins.contributions)
    drawn = [local_draw(len(sums), np.random.default_rng(int(seed))) for seed in seeds]
    chosen = np.stack([np.arange(len(sums)), *drawn])
    running = np.cumsum(sums[chosen], axis=1)
    running = np.concatenate([np.zeros_like(running[:, :1]), running], axis=1)
    # Linear between the ends of pieces.
    at = np.append(bins.begin, bins.ends)
    after = np.clip(np.searchsorted(at, points), 1, len(sums))
    part = ((points - at[after - 1]) / (at[after] - at[after - 1]))[:, None]
    found: np.ndarray = running[:, after - 1] * (1 - part) + running[:, after] * part
    return found
