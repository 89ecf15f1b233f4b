"""Which layers lower the loss on which text: profiles of one model per text of its probes.

A contribution is P = -(sum of LCA): positive where the parameters lowered the loss. Intervals come
from a local block bootstrap over training (`resampling`); they say nothing of other seeds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from losschange.cube.estimators import INTERVAL_RULES, parse_estimator, texts_of

from .profiles import ATTENTION, FEED_FORWARD, INNER_STACKS, ProfileError
from .resampling import FEWEST_PIECES, STRETCH, local_draw

# Self-attention, heads summed, and feed-forward; without biases and norms.
GROUPS = {"attention": (*ATTENTION, "out"), "feed-forward": FEED_FORWARD}
DRAWS = 1000
# The variance within a stretch of n pieces is (n - 1) / n of the true one.
WIDENING = (STRETCH / (STRETCH - 1)) ** 0.5
INTERVAL = (2.5, 97.5)  # per cent of the resamplings


@dataclass(frozen=True)
class LayerValues:
    """A value per Transformer layer with its 95 % interval, each (layers,).

    `low` and `high` are NaN where training has too few records to resample.
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class TextProfile:
    """What the layers contribute to the fall of the loss on one text.

    Parameters
    ----------
    text, estimator : str
    records : int
        Number of intervals that the probe recorded.
    contributions : mapping of group in GROUPS to LayerValues
        Nats per counted token, summed over training.
    shares : mapping of group in GROUPS to LayerValues
        The same over the contributions of all parameters together: comparable between texts whose
        losses fall by different amounts.
    """

    text: str
    estimator: str
    records: int
    contributions: dict[str, LayerValues]
    shares: dict[str, LayerValues]


def text_profiles(summary: xr.Dataset, draws: int = DRAWS, seed: int = 1) -> dict[str, TextProfile]:
    """Profiles of the layers per text: train, valid, then the others by name.

    Parameters
    ----------
    summary : Dataset
        Of `losschange.analysis.summaries`. Of each text, the probe with the most exact rule is
        used, Simpson's before the trapezoid rule.
    draws : int
        Resamplings of training.
    seed : int
        Of the resamplings. Texts with the same records are resampled alike.
    """
    found = {}
    for text, estimator in _probes(summary).items():
        pieces = _Pieces(summary, estimator)
        sums = pieces.resampled(draws, seed)
        found[text] = TextProfile(
            text,
            estimator,
            pieces.records,
            {group: _values(*sums.contributions(group)) for group in GROUPS},
            {group: _values(*sums.shares(group)) for group in GROUPS},
        )
    return found


def text_difference(
    summary: xr.Dataset, first: str, second: str, draws: int = DRAWS, seed: int = 1
) -> dict[str, LayerValues]:
    """By how much each layer's share on one text is larger than on another, per group.

    Where nothing differs, it is 0. Resampled pairwise if both texts have records at the same
    updates.

    Raises
    ------
    ProfileError
        If the summary has no probe of one of the texts.
    """
    probes = _probes(summary)
    for text in (first, second):
        if text not in probes:
            raise ProfileError(
                f"model {summary.attrs.get('model')} has no probe of the text {text!r}; it has "
                f"probes of: {', '.join(probes) or 'none'}"
            )
    one, other = (_Pieces(summary, probes[text]).resampled(draws, seed) for text in (first, second))
    differences = {}
    for group in GROUPS:
        (value, drawn), (other_value, other_drawn) = one.shares(group), other.shares(group)
        differences[group] = _values(value - other_value, drawn - other_drawn)
    return differences


class _Pieces:
    """Contributions of one estimator in pieces of training that hold at least one record each."""

    def __init__(self, summary: xr.Dataset, estimator: str):
        one = summary.sel(estimator=estimator)
        blocks = np.nan_to_num(-one["block_total"].sum("head").values)
        # Blocks are runs of whole bins, so that their records can be counted.
        ends = np.searchsorted(summary["bin"].values, summary["block"].values)
        counted = np.cumsum(one["binned_records"].values)[ends]
        before = np.concatenate([[0], counted[:-1]])
        # A block without a record goes with the next record, or with the last.
        piece = np.minimum(before, max(0, int(counted[-1]) - 1))
        starts = np.flatnonzero(np.diff(piece, prepend=-1))
        self.records = int(counted[-1])
        self.values = np.add.reduceat(blocks, starts, axis=0)
        stacks = [str(stack) for stack in summary["stack"].values]
        self.inside = np.flatnonzero([stack in INNER_STACKS for stack in stacks])
        self.components = [str(name) for name in summary["component"].values]

    def resampled(self, draws: int, seed: int) -> _Sums:
        """Sums over training as recorded, and of each resampling."""
        length = len(self.values)
        weights = np.full((draws, length), np.nan)
        if length >= FEWEST_PIECES:
            random = np.random.default_rng(seed)
            for draw in range(draws):
                weights[draw] = np.bincount(local_draw(length, random), minlength=length)
            weights = 1 + WIDENING * (weights - 1)
        groups = {}
        for group, components in GROUPS.items():
            columns = [self.components.index(name) for name in components]
            pieces = self.values[:, self.inside][:, :, columns].sum(axis=2)
            groups[group] = (pieces.sum(axis=0), weights @ pieces)
        whole = self.values.sum(axis=(1, 2))
        return _Sums(groups, float(whole.sum()), weights @ whole)


@dataclass(frozen=True)
class _Sums:
    """Per group (value (layers,), resamplings (draws, layers)); of all parameters the same."""

    groups: dict[str, tuple[np.ndarray, np.ndarray]]
    whole: float
    drawn_whole: np.ndarray

    def contributions(self, group: str) -> tuple[np.ndarray, np.ndarray]:
        return self.groups[group]

    def shares(self, group: str) -> tuple[np.ndarray, np.ndarray]:
        value, drawn = self.groups[group]
        with np.errstate(divide="ignore", invalid="ignore"):
            return value / self.whole, drawn / self.drawn_whole[:, None]


def _values(value: np.ndarray, drawn: np.ndarray) -> LayerValues:
    low, high = np.percentile(drawn, INTERVAL, axis=0)
    # A minimum with NaN stays NaN: without resamplings there is no interval.
    return LayerValues(value, np.minimum(low, value), np.maximum(high, value))


def _probes(summary: xr.Dataset) -> dict[str, str]:
    """Text to the estimator that stands for it."""
    names = [str(name) for name in summary["estimator"].values]
    probes = [found for found in map(parse_estimator, names) if found.is_probe]
    rank = {rule: place for place, rule in enumerate(INTERVAL_RULES)}
    return {
        text: max(
            (probe for probe in probes if probe.text == text), key=lambda probe: rank[probe.rule]
        ).name
        for text in texts_of(names)
    }
