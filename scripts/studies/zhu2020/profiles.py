"""Contributions of the groups under both readings, over a training and along it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from losschange.analysis.word_totals import NAME as WORD_TOTALS
from losschange.claims.judging import MissingData
from losschange.claims.resamples import Resample, TimeBins

from .groups import Groups, groups_of, groups_of_bins
from .keeping import kept

SUM, PER_PARAMETER = "sum", "per parameter"
READINGS = (PER_PARAMETER, SUM)
TOP_BINS = 5  # of 25 groups of words in the paper


def profile(resample: Resample, reading: str) -> np.ndarray:
    """Contributions (groups,) of a training: nats, or nats per parameter.

    An estimator that sees a sample of the updates is scaled to all of them.
    """
    return read(_sums(resample), groups_of_bins(resample.bins), reading)


@kept
def _sums(resample: Resample) -> np.ndarray:
    """Contributions (groups,) in nats; every claim asks for them."""
    return groups_of_bins(resample.bins).sums(resample.totals) / resample.bins.share


def read(sums: np.ndarray, groups: Groups, reading: str) -> np.ndarray:
    """Sums (..., groups) under a reading."""
    return sums / groups.parameters if reading == PER_PARAMETER else sums


@dataclass(frozen=True)
class Curves:
    """Cumulative contributions along a training.

    Attributes
    ----------
    groups : Groups
    updates : float array (pieces + 1,)
        From 0.
    values : float array (pieces + 1, groups)
        Nats, scaled to all updates.
    """

    groups: Groups
    updates: np.ndarray
    values: np.ndarray


def cumulative(summary: xr.Dataset, estimator: str) -> Curves:
    """Cumulative contributions of the groups of one model."""
    bins, groups = TimeBins(summary, estimator), groups_of(summary)
    pieces = groups.sums(bins.contributions) / bins.share
    values = np.concatenate([np.zeros((1, len(groups.names))), np.cumsum(pieces, axis=0)])
    return Curves(groups, np.append(bins.begin, bins.ends), values)


def intervals(summary: xr.Dataset, estimator: str, number: int) -> np.ndarray:
    """Contributions (number, groups) in intervals of equally many updates, nats."""
    curves = cumulative(summary, estimator)
    edges = np.linspace(curves.updates[0], curves.updates[-1], number + 1)
    at = [np.interp(edges, curves.updates, column) for column in curves.values.T]
    return np.diff(np.stack(at, axis=1), axis=0)


def shares(values: np.ndarray) -> np.ndarray:
    """Occupation ratios: contributions (groups,) over their sum."""
    total = values.sum()
    return values / total if total else np.full_like(values, np.nan)


def word_profile(resample: Resample) -> np.ndarray:
    """Contributions (matrices, frequency bins) of the rows of words, nats; bin 0 is most frequent.

    Raises
    ------
    MissingData
        If the estimator was not recorded with the detail "vocabulary".
    """
    bins = resample.bins
    blocks = _word_blocks(bins)
    if blocks is None:
        raise MissingData(f"{bins.estimator} was recorded without the detail vocabulary")
    weights = np.bincount(resample.chosen(len(blocks)), minlength=len(blocks)).astype(float)
    found: np.ndarray = -np.tensordot(weights, blocks, axes=1) / bins.share
    return found


@kept
def _word_blocks(bins: TimeBins) -> np.ndarray | None:
    """LCA (blocks, matrices, frequency bins); None where it was not recorded."""
    if WORD_TOTALS not in bins.summary:
        return None
    blocks: np.ndarray = bins.summary[WORD_TOTALS].sel(estimator=bins.estimator).values
    return None if np.isnan(blocks).any() else blocks


@kept
def text_shares(bins: TimeBins) -> np.ndarray:
    """Share (frequency bins,) of the running text that the words of each bin make up."""
    found: np.ndarray = bins.summary["text_share"].values
    return found


def dense(values: np.ndarray, groups: Groups, kind: str, reading: str) -> float:
    """Contribution of all layers of a stack together, from sums (groups,)."""
    places = groups.of_kind(kind)
    size = float(groups.parameters[places].sum()) if reading == PER_PARAMETER else 1.0
    return float(values[places].sum()) / size
