"""Agreement of the profiles of different estimators of the loss change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from losschange.analysis.profiles import ATTENTION, FEED_FORWARD, LAYER_COMPONENTS

from .judging import INTERVAL, Evidence, MissingData
from .resamples import Resample
from .statistics import kendall, spearman

# Zhu et al. 2020, Figure 1: 15 groups, sampled against exact gradients, 5 of 105 pairs discordant.
ZHU_KENDALL = 0.905
REFERENCE = "batch"
BLOCKS = {"attention": (*ATTENTION, "out"), "feed-forward": FEED_FORWARD}


@dataclass(frozen=True)
class Agreement:
    """Rank correlation of two estimators' contributions of the parts of one model.

    Each number is (value, low, high) of the 95 % interval: `spearman` and `kendall` of the
    layers' sums over six components, `cells` Kendall's tau of all (layer, component) pairs.
    """

    model: str
    first: str
    second: str
    spearman: tuple[float, float, float]
    kendall: tuple[float, float, float]
    cells: tuple[float, float, float]


@dataclass(frozen=True)
class BlockProfile:
    """Shares (layers,) of the layers in the absolute sum of a block, and their intervals."""

    share: np.ndarray
    low: np.ndarray
    high: np.ndarray


def agreements(evidence: Evidence, model: str, estimators: Sequence[str]) -> list[Agreement]:
    """Agreement of all pairs of the estimators that a model was recorded with, in order."""
    known = _recorded(evidence, model, estimators)
    return [
        agreement(evidence, model, first, second)
        for place, first in enumerate(known)
        for second in known[place + 1 :]
    ]


def agreement(evidence: Evidence, model: str, first: str, second: str) -> Agreement:
    """Compare two estimators of one model; means over its replicates.

    Raises
    ------
    MissingData
        If the model was not recorded with one of them.
    """
    pairs = zip(evidence.replicates(model, first), evidence.replicates(model, second), strict=True)
    values, drawn = [], []
    for (one, one_drawn), (other, other_drawn) in pairs:
        values.append(_compare(one, other))
        both = zip(one_drawn, other_drawn, strict=True)
        drawn.append([_compare(a, b) for a, b in both])
    value, draws = np.mean(values, axis=0), np.mean(drawn, axis=0)
    low, high = np.nanpercentile(draws, INTERVAL, axis=0, method="inverted_cdf")
    ends = zip(value, np.fmin(low, value), np.fmax(high, value), strict=True)
    numbers = [(float(middle), float(lowest), float(highest)) for middle, lowest, highest in ends]
    return Agreement(model, first, second, *numbers)


def block_profiles(evidence: Evidence, model: str, estimator: str) -> dict[str, BlockProfile]:
    """Profiles of attention and feed-forward, means over replicates; see `agreement`."""
    found = {}
    for block, components in BLOCKS.items():
        replicates = evidence.replicates(model, estimator)
        value = np.mean([_shares(resample, components) for resample, _ in replicates], axis=0)
        draws = np.mean(
            [[_shares(resample, components) for resample in drawn] for _, drawn in replicates],
            axis=0,
        )
        low, high = np.percentile(draws, INTERVAL, axis=0)
        found[block] = BlockProfile(value, np.fmin(low, value), np.fmax(high, value))
    return found


def positive_share(evidence: Evidence, model: str, estimator: str) -> float:
    """Share of (layer, component, record) cells of the layers with positive LCA, as Table 1 counts.

    The mean over replicates. It is a share because estimators have different numbers of records.
    """
    shares = []
    for resample, _ in evidence.replicates(model, estimator):
        cells = resample.bins.records.sum() * resample.layers * len(LAYER_COMPONENTS)
        shares.append(resample.hurts(*LAYER_COMPONENTS).sum() / cells)
    return float(np.mean(shares))


def _recorded(evidence: Evidence, model: str, estimators: Sequence[str]) -> list[str]:
    known = []
    for name in estimators:
        try:
            evidence.replicates(model, name)
        except MissingData:
            continue
        known.append(name)
    return known


def _compare(one: Resample, other: Resample) -> list[float]:
    cells = [np.stack([resample.profile(c) for c in LAYER_COMPONENTS]) for resample in (one, other)]
    layers = [values.sum(axis=0) for values in cells]
    return [spearman(*layers), kendall(*layers), kendall(*(values.ravel() for values in cells))]


def _shares(resample: Resample, components: Sequence[str]) -> np.ndarray:
    profile = resample.profile(*components)
    size = np.abs(profile).sum()
    return profile / size if size > 0 else profile
