"""Rank statistics of heads within their layers.

Layers differ in everything, heads of a layer are exchangeable when training begins. So every
number here compares heads of the same layer only. All arrays end in (layers, heads), and the
functions work on any number of axes in front of these.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from .ratios import ratio

# Differences below this share of a layer's largest absolute value are rounding errors: ties.
RELATIVE_TOLERANCE = 1e-6


def layer_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks within layers, with mean zero and norm one.

    Parameters
    ----------
    values : array (..., layers, heads)

    Returns
    -------
    array (..., layers, heads)
        Tied heads share their mean rank. NaN in layers where a value is missing or all are tied.
    """
    values = np.asarray(values, dtype=float)
    grain = RELATIVE_TOLERANCE * np.abs(values).max(-1, keepdims=True)
    coarse = np.round(ratio(values, grain, otherwise=0.0))
    coarse = np.where(np.isnan(values).any(-1, keepdims=True), np.nan, coarse)
    ranks = stats.rankdata(coarse, axis=-1)
    return _standardised(np.where(np.isnan(coarse), np.nan, ranks))


def within_layer_spearman(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Mean over layers of the rank correlation within each.

    Parameters
    ----------
    x, y : array (..., layers, heads)

    Returns
    -------
    array (...)
        Layers in which either is constant or missing are left out; NaN if none is left.
    """
    return mean_correlation(layer_ranks(x), layer_ranks(y))


def partial_residuals(
    x: np.ndarray, y: np.ndarray, given: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What is left of the ranks of x and y when those of a third quantity are taken out.

    The mean correlation of the residuals is the partial rank correlation.

    Parameters
    ----------
    x, y, given : array (..., layers, heads)

    Returns
    -------
    residuals of x, of y : array (..., layers, heads)
        With mean zero and norm one; NaN in layers where nothing is left.
    """
    third = layer_ranks(given)
    left = []
    for ranks in (layer_ranks(x), layer_ranks(y)):
        explained = (ranks * third).sum(-1, keepdims=True) * third
        left.append(_standardised(ranks - explained))
    return left[0], left[1]


def mean_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Mean over layers of the inner products of standardised values; NaN layers are left out."""
    products = (first * second).sum(-1)
    known = ~np.isnan(products)
    total, number = np.where(known, products, 0.0).sum(-1), known.sum(-1)
    return ratio(total, number)


def within_layer_auc(values: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Chance that a kept head has a larger value than a pruned head of its layer.

    Parameters
    ----------
    values : array (..., layers, heads)
    kept : bool array (..., layers, heads)
        For an AUC over all heads pooled, give both as one layer.

    Returns
    -------
    array (...)
        Ties count one half; NaN if no layer holds both kept and pruned heads.
    """
    values, kept = np.broadcast_arrays(np.asarray(values, dtype=float), np.asarray(kept, bool))
    difference = values[..., :, None] - values[..., None, :]
    scale = RELATIVE_TOLERANCE * np.abs(values).max(-1)[..., None, None]
    wins = np.where(np.abs(difference) <= scale, 0.5, difference > 0)
    pairs = kept[..., :, None] & ~kept[..., None, :] & ~np.isnan(difference)
    number = pairs.sum((-3, -2, -1))
    total = np.where(pairs, wins, 0.0).sum((-3, -2, -1))
    return ratio(total, number)


def holm(p_values: np.ndarray) -> np.ndarray:
    """p values corrected for the number of tests (Holm 1979).

    Parameters
    ----------
    p_values : array (n,)
        NaN for tests that could not be made; these do not count.
    """
    p_values = np.asarray(p_values, dtype=float)
    known = np.flatnonzero(~np.isnan(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    corrected = np.full(p_values.shape, np.nan)
    raised = p_values[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(raised), 1.0)
    return corrected


def _standardised(values: np.ndarray) -> np.ndarray:
    """Mean zero and norm one along the last axis; NaN where nothing varies."""
    centred = values - values.mean(-1, keepdims=True)
    norm = np.linalg.norm(centred, axis=-1, keepdims=True)
    return ratio(centred, np.where(norm > 1e-9, norm, 0.0))
