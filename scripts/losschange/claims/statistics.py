"""Statistics for claims; none of them changes if all LCA is multiplied by a constant."""

from __future__ import annotations

import numpy as np

T90_SHARE = 0.9


def share_of_mean(difference: float, profile: np.ndarray) -> float:
    """A difference of contributions in units of a layer's mean absolute contribution."""
    size = np.abs(profile).mean()
    return float(difference / size) if size > 0 else np.nan


def pick(profile: np.ndarray, *layers: int) -> np.ndarray:
    """Entries of layers, counted from 1 as the paper does."""
    return profile[..., [layer - 1 for layer in layers]]


def pearson(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson correlation; NaN if one input is constant."""
    first, second = first - first.mean(), second - second.mean()
    size = np.sqrt((first @ first) * (second @ second))
    return float(first @ second / size) if size > 0 else np.nan


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman rank correlation; NaN if one input is constant or contains NaN."""
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return np.nan
    return pearson(ranks(first), ranks(second))


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; ties get their mean rank."""
    below: np.ndarray = (values[:, None] > values).sum(axis=1)
    same = (values[:, None] == values).sum(axis=1)
    ranked: np.ndarray = below + (same + 1) / 2
    return ranked


def kendall(first: np.ndarray, second: np.ndarray) -> float:
    """Kendall's tau-b; NaN if one input is constant."""
    upper = np.triu_indices(len(first), 1)
    one = np.sign(first[:, None] - first)[upper]
    two = np.sign(second[:, None] - second)[upper]
    size = np.sqrt((one @ one) * (two @ two))
    return float(one @ two / size) if size > 0 else np.nan


def linear_fit(profile: np.ndarray) -> tuple[float, float]:
    """Slope per layer, and the share of the variance that a straight line explains."""
    depth = np.arange(len(profile), dtype=float)
    correlation = pearson(depth, profile)
    slope = correlation * profile.std() / depth.std()
    return float(slope), correlation**2


def t90(series: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Share of training (columns,) at which T90_SHARE of each column's sum is first reached.

    Parameters
    ----------
    series : float array (pieces, columns)
    times : float array (pieces,)
        Ends of the pieces as shares of training; values are interpolated linearly between them.
    """
    running = np.concatenate([np.zeros((1, series.shape[1])), np.cumsum(series, axis=0)])
    total = running[-1]
    # A sum may be negative (the group raised the loss): compare in the direction of the sum.
    progress = running * np.sign(total) - T90_SHARE * np.abs(total)
    place = np.maximum(1, np.argmax(progress >= 0, axis=0))
    columns = np.arange(series.shape[1])
    below, above = progress[place - 1, columns], progress[place, columns]
    at = np.concatenate([[0.0], times])
    gap = above - below
    part = np.divide(-below, gap, out=np.ones_like(gap), where=gap != 0)
    reached = at[place - 1] + np.clip(part, 0, 1) * (at[place] - at[place - 1])
    return np.where(total != 0, reached, np.nan)


def intraclass_correlation(values: np.ndarray) -> float:
    """ICC(1) of values (groups, members): the share of the variance between groups."""
    groups, members = values.shape
    if groups < 2 or members < 2:
        return np.nan
    between = members * values.mean(axis=1).var(ddof=1)
    within = values.var(axis=1, ddof=1).mean()
    total = between + (members - 1) * within
    return float((between - within) / total) if total > 0 else np.nan


def share(part: float, whole: float) -> float:
    """Share of a part in a sum; NaN if the sum is not positive: the share is then undefined."""
    return float(part / whole) if whole > 0 else np.nan
