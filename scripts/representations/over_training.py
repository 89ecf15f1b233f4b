"""Representations over training, beside the loss change of the same layers and intervals."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from .checks import Floats, as_states
from .covariances import Covariances
from .errors import RepresentationError
from .pwcca import svcca_of

FEWEST_INTERVALS = 4
FEWEST_LAYERS = 2


class Relation(NamedTuple):
    """Whether two tables agree beyond what all their layers and all their intervals share.

    Attributes
    ----------
    correlation : float
    null : float array (intervals − 1,)
        The same with the intervals of one table shifted circularly, all layers together.
    p_value : float
        Share of all shifts, none among them, with a correlation at least as large. At least
        1 / intervals: with nine of them only a relation that beats every shift reaches .11.
    """

    correlation: float
    null: Floats
    p_value: float


def svcca_distance_of(covariances: Covariances, permuted: bool = False) -> float:
    """1 − SVCCA, the measure of Saphra & Lopez (2019)."""
    return 1.0 - svcca_of(covariances, permuted=permuted)


def intervals_of(times: Sequence[int]) -> list[tuple[int, int]]:
    """(t, t + 1) of ascending snapshots.

    Raises
    ------
    RepresentationError
        If the snapshots do not ascend.
    """
    if any(later <= earlier for earlier, later in pairwise(times)):
        raise RepresentationError(f"the snapshots {list(times)} do not ascend")
    return list(pairwise(times))


def relate(first: ArrayLike, second: ArrayLike) -> Relation:
    """Rank correlation of two tables after taking out the means of layers and intervals.

    Loss change and change of representations both follow the learning rate and both are larger
    in some layers; what is left asks whether a layer changes just when it gets its loss change.

    Parameters
    ----------
    first, second : array (layers, intervals)
        Such as −LCA summed over (t, t + 1], and d(t, t + 1).

    Raises
    ------
    RepresentationError
        If the tables differ in shape, are smaller than two layers by four intervals, or have
        nothing left after the means are taken out.
    """
    one, two = as_states(first, "first table"), as_states(second, "second table")
    if one.shape != two.shape:
        raise RepresentationError(
            f"tables of {one.shape} and {two.shape} layers and intervals; row i and column j of "
            "both have to be the same layer and interval"
        )
    if one.shape[0] < FEWEST_LAYERS or one.shape[1] < FEWEST_INTERVALS:
        raise RepresentationError(
            f"tables of {one.shape[0]} layers and {one.shape[1]} intervals; needed are at least "
            f"{FEWEST_LAYERS} and {FEWEST_INTERVALS}"
        )
    left, right = _residual_ranks(one, "first"), _residual_ranks(two, "second")
    scores = [float((left * np.roll(right, shift, axis=1)).sum()) for shift in range(one.shape[1])]
    as_large = np.mean(np.array(scores) >= scores[0] - 1e-12)
    return Relation(scores[0], np.array(scores[1:]), float(as_large))


def _residual_ranks(table: Floats, name: str) -> Floats:
    """Ranks, centred and of length 1, of a table without the means of its rows and columns."""
    residual = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    if np.abs(residual).max() <= 1e-12 * np.abs(table).max():
        raise RepresentationError(
            f"the {name} table is nothing but means of layers and intervals, so nothing is left "
            "to correlate"
        )
    ranks = np.asarray(rankdata(residual).reshape(table.shape))
    ranks -= ranks.mean()
    return np.asarray(ranks / np.linalg.norm(ranks))
