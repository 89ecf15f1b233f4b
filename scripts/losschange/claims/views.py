"""One training under one estimator, as it was recorded or resampled over time.

Resampling is a local block bootstrap (Paparoditis and Politis 2002): training is cut into
stretches of STRETCH neighbouring pieces, and each piece is replaced by one drawn from its own
stretch. So the course of training stays, and what varies is its noise. A piece is a bin of the
summary, or as many bins as it takes to hold one record.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import xarray as xr

from losschange.profiles import INNER_STACKS

STRETCH = 5
FEWEST_PIECES = 10
SEGMENTS = 50  # of curves that are compared between trainings of unequal length


class Course:
    """What a summary holds of one training and estimator, as arrays that claims need.

    Parameters
    ----------
    summary : Dataset
        Of `losschange.summaries`.
    estimator : str
        One that it holds.
    """

    def __init__(self, summary: xr.Dataset, estimator: str):
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
        # NaN marks cells that the model does not have: they contribute nothing.
        self.contributions = -self._pieces(one["binned_total"].values)
        self.positives = self._pieces(one["binned_positive_count"].values)
        self.records = self._pieces(records.astype(float))
        self.head_blocks = -one["block_total"].values[..., 1:]
        self.last_positive = float(np.nanmax(one["last_positive_step"].values))
        self.change = self._measured_change(one)

    def _pieces(self, values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(np.nan_to_num(values), self.starts, axis=0)

    def _measured_change(self, one: xr.Dataset) -> np.ndarray:
        """Fall of the loss that was measured, per piece, over the share of updates recorded."""
        reference = str(one["reference"].values)
        if reference == "none":
            return np.full(len(self.starts), np.nan)
        course = one["loss_change"].sel(measure=reference).values
        at = np.append(self.starts[1:] - 1, len(course) - 1)
        fall = -np.diff(course[at], prepend=0.0)
        # The last value of a course is a mean over a window; the measured change is what counts.
        fall[-1] += -float(one["measured_change"].sel(measure=reference)) - fall.sum()
        return fall * float(one["total"] / one["scaled_total"])


class View:
    """A course, or a resampling of it.

    Parameters
    ----------
    course : Course
    random : Generator, optional
        Draws the resampling; without it the view is the course itself.
    """

    def __init__(self, course: Course, random: np.random.Generator | None = None):
        self.course = course
        self._seed = None if random is None else int(random.integers(2**63))

    @property
    def layers(self) -> int:
        """Number of Transformer layers."""
        return self.course.layers

    @property
    def border(self) -> int | None:
        """Number of encoder layers where a decoder follows them."""
        return self.course.border

    def chosen(self, length: int) -> np.ndarray:
        """For each of `length` pieces of time, the piece that stands in its place."""
        own = np.arange(length)
        if self._seed is None:
            return own
        first = own // STRETCH * STRETCH
        span = np.minimum(STRETCH, length - first)
        return first + np.random.default_rng(self._seed).integers(0, span)

    @cached_property
    def _weights(self) -> np.ndarray:
        length = len(self.course.starts)
        return np.bincount(self.chosen(length), minlength=length).astype(float)

    @cached_property
    def _totals(self) -> np.ndarray:
        pieces = self.course.contributions
        return (self._weights @ pieces.reshape(len(pieces), -1)).reshape(pieces.shape[1:])

    def columns(self, components: Sequence[str]) -> list[int]:
        """Places of components on their axis."""
        return [self.course.components.index(name) for name in components]

    def profile(self, *components: str) -> np.ndarray:
        """Contributions (layers,) of components, summed over training."""
        return self._totals[self.course.inside][:, self.columns(components)].sum(axis=1)

    def outside(self, component: str) -> float:
        """Contribution of a component that is no Transformer layer's."""
        return float(self._totals[:, self.columns([component])].sum())

    def measured(self) -> tuple[float, float]:
        """Sum of all contributions, and the fall of the loss that was measured; nats."""
        return float(self._totals.sum()), float(self._weights @ self.course.change)

    def whole(self) -> np.ndarray:
        """Contributions (pieces,) of all parameters in the order of training."""
        sums = self.course.contributions.sum(axis=(1, 2))
        return sums[self.chosen(len(sums))]

    def series(self, *components: str) -> np.ndarray:
        """Contributions (pieces, layers) of components in the order of training."""
        values = self._inside(self.course.contributions, components)
        return values[self.chosen(len(values))]

    def hurts(self, *components: str) -> np.ndarray:
        """Positive records (pieces, layers) of components, counted per layer and component."""
        values = self._inside(self.course.positives, components)
        return values[self.chosen(len(values))]

    def hurts_outside(self, component: str) -> float:
        """Positive records of a component over all layers."""
        values = self.course.positives[:, :, self.columns([component])].sum(axis=(1, 2))
        return float(self._weights @ values)

    def curves(self, *components: str) -> np.ndarray:
        """Contributions (SEGMENTS, layers) per equal part of training, resampled."""
        values = self.recorded_curves(*components)
        return values[self.chosen(SEGMENTS)]

    def recorded_curves(self, *components: str) -> np.ndarray:
        """The same as recorded; layer 0's column is the embedding where that is asked for."""
        if components == ("embedding",):
            column = self.columns(components)
            values = self.course.contributions[:, :, column].sum(axis=(1, 2))[:, None]
        else:
            values = self._inside(self.course.contributions, components)
        running = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
        at = np.concatenate([[0.0], self.times()])
        grid = np.linspace(0, 1, SEGMENTS + 1)
        cut = np.stack([np.interp(grid, at, column) for column in running.T], axis=1)
        return np.diff(cut, axis=0)

    def times(self) -> np.ndarray:
        """Ends (pieces,) of the pieces as shares of training."""
        return (self.course.ends - self.course.begin) / self.course.length

    def heads(self, component: str) -> np.ndarray:
        """Contributions (layers, heads), summed over training."""
        blocks = self.course.head_blocks[:, self.course.inside][:, :, self.columns([component])[0]]
        weights = np.bincount(self.chosen(len(blocks)), minlength=len(blocks)).astype(float)
        return np.tensordot(weights, blocks, axes=1)

    def _inside(self, values: np.ndarray, components: Sequence[str]) -> np.ndarray:
        return values[:, self.course.inside][:, :, self.columns(components)].sum(axis=2)
