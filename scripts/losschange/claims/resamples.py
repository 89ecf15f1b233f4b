"""One training under one estimator, as recorded or resampled over time.

Resampling is the local block bootstrap of `losschange.analysis.resampling`. A piece of training is
one bin of the summary, or several bins if a single bin contains no record.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import xarray as xr

from losschange.analysis.profiles import INNER_STACKS
from losschange.analysis.resampling import local_draw
from losschange.cube.layout import NO_HEAD

SEGMENTS = 50  # of curves that are compared between trainings of unequal length


class TimeBins:
    """The summary of one training and estimator as arrays that claims need.

    Parameters
    ----------
    summary : Dataset
        From `losschange.analysis.summaries`.
    estimator : str
        An estimator in the summary.
    """

    def __init__(self, summary: xr.Dataset, estimator: str):
        self.summary, self.estimator = summary, estimator
        one = summary.sel(estimator=estimator)
        stacks = [str(stack) for stack in summary["stack"].values]
        self.inside = np.flatnonzero([stack in INNER_STACKS for stack in stacks])
        encoder = stacks.count("encoder")
        self.layers = len(self.inside)
        self.border = encoder if 0 < encoder < self.layers else None
        self.attributes = dict(summary.attrs)
        self.components = [str(name) for name in summary["component"].values]
        self.parameters = summary["n_parameters"].sum("head").values
        records = one["binned_records"].values
        piece = np.minimum(np.cumsum(records) - records, max(0, records.sum() - 1))
        self.starts = np.flatnonzero(np.diff(piece, prepend=-1))
        self.length = float(summary["bin"][-1] - summary["bin_first"][0] + 1)
        self.ends = np.append(summary["bin_first"].values[self.starts][1:] - 1, summary["bin"][-1])
        self.begin = float(summary["bin_first"][0] - 1)
        # NaN marks cells that the model does not have; they count as 0.
        self.contributions = -self._pieces(one["binned_total"].values)
        self.positives = self._pieces(one["binned_positive_count"].values)
        self.records = self._pieces(records.astype(float))
        self.head_blocks = -one["block_total"].values[..., NO_HEAD + 1 :]
        # The measured change is of all updates; scale it to the sampled share of the updates.
        self.share = float(one["total"] / one["scaled_total"])
        self.change = -self.share * np.add.reduceat(one["binned_change"].values, self.starts)
        self._cached: dict[tuple[str, tuple[str, ...]], np.ndarray] = {}
        self._others: dict[str, TimeBins] = {}

    def under(self, estimator: str) -> TimeBins:
        """The same training under another estimator of its summary."""
        if estimator == self.estimator:
            return self
        if estimator not in self._others:
            self._others[estimator] = TimeBins(self.summary, estimator)
        return self._others[estimator]

    def cached(self, what: str, components: tuple[str, ...]) -> np.ndarray:
        """A quantity of components (time, ...), computed once for all resamplings.

        "contributions" and "positives" (pieces, layers); "whole" (pieces,) of all parameters;
        "outside" (pieces,) positives over all layers; "curves" (SEGMENTS, layers), of the
        embedding (SEGMENTS, 1); "heads" (blocks, layers, heads) of one component.
        """
        if (what, components) not in self._cached:
            self._cached[what, components] = getattr(self, f"_make_{what}")(components)
        return self._cached[what, components]

    def columns(self, components: Sequence[str]) -> list[int]:
        """Indices of components on their axis."""
        return [self.components.index(name) for name in components]

    def times(self) -> np.ndarray:
        """Ends (pieces,) of the pieces as shares of training."""
        return (self.ends - self.begin) / self.length

    def _make_contributions(self, components: tuple[str, ...]) -> np.ndarray:
        return self.contributions[:, self.inside][:, :, self.columns(components)].sum(axis=2)

    def _make_positives(self, components: tuple[str, ...]) -> np.ndarray:
        return self.positives[:, self.inside][:, :, self.columns(components)].sum(axis=2)

    def _make_outside(self, components: tuple[str, ...]) -> np.ndarray:
        return self.positives[:, :, self.columns(components)].sum(axis=(1, 2))

    def _make_whole(self, components: tuple[str, ...]) -> np.ndarray:
        return self.contributions.sum(axis=(1, 2))

    def _make_heads(self, components: tuple[str, ...]) -> np.ndarray:
        (column,) = self.columns(components)
        return np.ascontiguousarray(self.head_blocks[:, self.inside][:, :, column])

    def _make_curves(self, components: tuple[str, ...]) -> np.ndarray:
        if components == ("embedding",):
            column = self.columns(components)
            values = self.contributions[:, :, column].sum(axis=(1, 2))[:, None]
        else:
            values = self.cached("contributions", components)
        running = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
        at = np.concatenate([[0.0], self.times()])
        grid = np.linspace(0, 1, SEGMENTS + 1)
        cut = np.stack([np.interp(grid, at, column) for column in running.T], axis=1)
        return np.diff(cut, axis=0)

    def _pieces(self, values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(np.nan_to_num(values), self.starts, axis=0)


class Resample:
    """A training as it was recorded, or a resampling of it.

    Parameters
    ----------
    bins : TimeBins
    random : Generator, optional
        Draws the resampling; without it, this is the training as recorded.
    """

    def __init__(self, bins: TimeBins, random: np.random.Generator | None = None):
        self.bins = bins
        self._chosen: dict[int, np.ndarray] = {}
        self._others: dict[str, Resample] = {}
        self._seed = None if random is None else int(random.integers(2**63))

    @property
    def resampled(self) -> bool:
        """Whether this is a resampling."""
        return self._seed is not None

    @property
    def layers(self) -> int:
        """Number of Transformer layers."""
        return self.bins.layers

    @property
    def border(self) -> int | None:
        """Number of encoder layers in a model with a decoder."""
        return self.bins.border

    def chosen(self, length: int) -> np.ndarray:
        """For each of `length` pieces of time, the index of the piece that replaces it."""
        if self._seed is None:
            return np.arange(length)
        if length not in self._chosen:
            self._chosen[length] = local_draw(length, np.random.default_rng(self._seed))
        return self._chosen[length]

    @cached_property
    def _weights(self) -> np.ndarray:
        length = len(self.bins.starts)
        return np.bincount(self.chosen(length), minlength=length).astype(float)

    def under(self, estimator: str) -> Resample:
        """The same resampling of the same training under another estimator of its summary.

        Where both have equally many pieces of time, the same pieces replace each other.
        """
        if estimator not in self._others:
            other = self._others[estimator] = Resample(self.bins.under(estimator))
            other._seed = self._seed
        return self._others[estimator]

    @cached_property
    def totals(self) -> np.ndarray:
        """Contributions (all layers, components), summed over training."""
        pieces = self.bins.contributions
        return (self._weights @ pieces.reshape(len(pieces), -1)).reshape(pieces.shape[1:])

    def profile(self, *components: str) -> np.ndarray:
        """Contributions (layers,) of components, summed over training."""
        inside = self.totals[self.bins.inside]
        return inside[:, self.bins.columns(components)].sum(axis=1)

    def profiles(self, components: Sequence[str]) -> np.ndarray:
        """Contributions (components, layers), summed over training."""
        inside: np.ndarray = self.totals[self.bins.inside]
        return inside[:, self.bins.columns(components)].T

    def measured(self) -> tuple[float, float]:
        """Sum of all contributions, and the measured decrease of the loss, in nats."""
        return float(self.totals.sum()), float(self._weights @ self.bins.change)

    def whole(self) -> np.ndarray:
        """Contributions (pieces,) of all parameters in the order of training."""
        return self._drawn("whole")

    def series(self, *components: str) -> np.ndarray:
        """Contributions (pieces, layers) of components in the order of training."""
        return self._drawn("contributions", *components)

    def hurts(self, *components: str) -> np.ndarray:
        """Positive records (pieces, layers) of components, counted per layer and component."""
        return self._drawn("positives", *components)

    def hurts_outside(self, component: str) -> float:
        """Positive records of a component over all layers."""
        return float(self._drawn("outside", component).sum())

    def curves(self, *components: str) -> np.ndarray:
        """Contributions (SEGMENTS, layers) per equal part of training, as recorded.

        (SEGMENTS, 1) for the embedding. Statistics that depend on the order of time must be
        computed first and then resampled with `chosen`; the curve itself must not be resampled.
        """
        return self.bins.cached("curves", components)

    def times(self) -> np.ndarray:
        """Ends (pieces,) of the pieces as shares of training."""
        return self.bins.times()

    def heads(self, component: str) -> np.ndarray:
        """Contributions (layers, heads), summed over training."""
        blocks = self.bins.cached("heads", (component,))
        weights = np.bincount(self.chosen(len(blocks)), minlength=len(blocks)).astype(float)
        return (weights @ blocks.reshape(len(blocks), -1)).reshape(blocks.shape[1:])

    def _drawn(self, what: str, *components: str) -> np.ndarray:
        values = self.bins.cached(what, components)
        return values if self._seed is None else values[self.chosen(len(values))]
