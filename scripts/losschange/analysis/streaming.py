"""One pass over one estimator of a cube, in runs of steps, never the whole cube.

Cells of a layer and component are first summed over heads into groups. What the pass keeps per
step is one running total per group (about 100 MB at paper scale): exact moving averages and
t90 follow from it whatever the borders between the runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from losschange.cube.estimators import parse_estimator
from losschange.cube.format import iterate_blocks, steps_of
from losschange.cube.layout import CubeError, CubeLayout

WINDOW_STEPS = 1000
MAXIMUM_POINTS = 500
MAXIMUM_BLOCKS = 50  # fewer than bins: they hold every head
T90_SHARE = 0.9

UNIT_CONVENTIONS = {
    "per_token": "nats per token, the mean over an update's tokens",
    "summed": "nats summed over the tokens of an update: times sample_size",
    "scaled": "nats per token times the loss scale of half precision",
    "summed_scaled": "nats summed over tokens, times the loss scale",
}


@dataclass(frozen=True)
class Plan:
    """Where moving averages are taken and how training is cut into bins.

    Parameters
    ----------
    last_step : int
        Number of the last update.
    window : int
        Updates in a moving average.
    point_last : int array (points,)
        Last update of each window; only whole windows.
    bin_first, bin_last : int arrays (bins,)
        First and last update of each bin.
    block_last : int array (blocks,)
        Last update of each block, a run of whole bins.
    steps : int array (steps,)
        Numbers of all updates of the run; of a series of checkpoints, where its intervals end.
    start : int
        Number of the update after which recording began, 0 for a whole run.
    factors : mapping of unit convention to float array (steps,)
        What a record's LCA is multiplied by; NaN where the cube does not know it.
    """

    last_step: int
    window: int
    point_last: np.ndarray
    bin_first: np.ndarray
    bin_last: np.ndarray
    block_last: np.ndarray
    steps: np.ndarray
    start: int
    factors: dict[str, np.ndarray]

    @property
    def point_centre(self) -> np.ndarray:
        """Update at the centre of each window."""
        return self.point_last - (self.window - 1) / 2

    def record_ranges(self, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Per point, the range low:high of the records at `steps` that lie in its window.

        A stride longer than the window leaves some windows empty; they take the record before.
        """
        high = np.searchsorted(steps, self.point_last, side="right")
        high = np.maximum(high, 1)
        low = np.searchsorted(steps, self.point_last - self.window, side="right")
        return np.minimum(low, high - 1), high


@dataclass
class StreamedEstimator:
    """What one pass over one estimator found; the last axis of each array is the groups.

    Only `steps` (numbers of the updates recorded) and `record_sums` (LCA of each record summed
    over everything, nats) are as long as there are records; `totals` (cells,) and `block_totals`
    (blocks, cells) are per cell.
    """

    groups: tuple[np.ndarray, np.ndarray]
    steps: np.ndarray
    stride: int
    coverage: float
    record_sums: np.ndarray
    totals: np.ndarray
    block_totals: np.ndarray
    moving_average: np.ndarray
    t90: np.ndarray
    positive_count: np.ndarray
    last_positive_step: np.ndarray
    largest_positive: np.ndarray
    largest_positive_step: np.ndarray
    binned_total: np.ndarray
    binned_records: np.ndarray
    binned_positive_count: np.ndarray
    binned_positive_sum: np.ndarray
    binned_positive_max: np.ndarray

    @property
    def records(self) -> int:
        """Number of records."""
        return len(self.steps)


def plan_for(cube: xr.Dataset, most_blocks: int = MAXIMUM_BLOCKS) -> Plan:
    """Lay out windows and bins of an open cube, at most MAXIMUM_POINTS of each, and blocks."""
    steps = cube["step"].values.astype(np.int64)
    start = int(cube.attrs.get("start_update", steps[0] - 1))
    first, last = start + 1, int(steps[-1])
    length = last - first + 1
    window = max(1, min(WINDOW_STEPS, length // 10))
    points = min(MAXIMUM_POINTS, length - window + 1)
    bins = min(MAXIMUM_POINTS, length)
    edges = first - 1 + np.arange(bins + 1, dtype=np.int64) * length // bins
    blocks = min(most_blocks, bins)
    per_token = np.ones(len(steps))
    tokens = cube["sample_size"].values.astype(np.float64)
    scale = cube["loss_scale"].values.astype(np.float64)
    factors = dict(zip(UNIT_CONVENTIONS, (per_token, tokens, scale, tokens * scale), strict=True))
    return Plan(
        last_step=last,
        window=window,
        point_last=np.linspace(first + window - 1, last, points).round().astype(np.int64),
        bin_first=edges[:-1] + 1,
        bin_last=edges[1:],
        block_last=edges[np.arange(1, blocks + 1) * bins // blocks],
        steps=steps,
        start=start,
        factors={name: _known(factor) for name, factor in factors.items()},
    )


def _known(factor: np.ndarray) -> np.ndarray:
    # One unknown factor makes a maximum over steps meaningless, so all values become unknown.
    return factor if np.isfinite(factor).all() else np.full_like(factor, np.nan)


def stream_estimator(
    cube: xr.Dataset, layout: CubeLayout, estimator: str, plan: Plan
) -> StreamedEstimator:
    """Read one estimator once and reduce it.

    Returns
    -------
    StreamedEstimator
        LCA in nats per token; `moving_average` per update (a probe's record is divided by the
        updates that it spans).

    Raises
    ------
    CubeError
        If the estimator has no records, or an existing cell holds NaN.
    """
    steps = steps_of(cube, estimator)
    if len(steps) == 0:
        raise CubeError(
            f"estimator {estimator} has no records in this cube of {len(plan.steps)} updates; "
            "train again with a stride that is not longer than the training"
        )
    starts, layers, components = _groups_of(layout)
    groups = len(starts)
    # The last interval of a strided probe ends with the training, so it may be shorter.
    gaps = np.diff(steps, prepend=plan.start)
    spans = gaps if parse_estimator(estimator).is_probe else np.ones_like(gaps)
    spanned = np.concatenate([[0], np.cumsum(spans)])
    totals = np.zeros(len(layout.cells))
    block_totals = np.zeros((len(plan.block_last), len(layout.cells)))
    record_sums = np.zeros(len(steps))
    cumulative = np.zeros((len(steps) + 1, groups))
    positives = _Positives(plan, groups)
    for start, block in iterate_blocks(cube, estimator):
        values = layout.from_grid(block)
        _refuse_nan(values, layout, estimator, steps[start:])
        totals += values.sum(axis=0, dtype=np.float64)
        _add_blocks(block_totals, plan, steps[start : start + len(values)], values)
        grouped = np.add.reduceat(values.astype(np.float64), starts, axis=1)
        record_sums[start : start + len(values)] = grouped.sum(axis=1)
        running = cumulative[start : start + len(values) + 1]
        np.cumsum(grouped, axis=0, out=running[1:])
        running[1:] += running[0]
        positives.add(steps[start : start + len(values)], grouped)
    low, high = plan.record_ranges(steps)
    ends = np.searchsorted(steps, plan.bin_last, side="right")
    return StreamedEstimator(
        groups=(layers, components),
        steps=steps,
        stride=int(gaps.max()),
        coverage=spanned[-1] / (plan.last_step - plan.start),
        record_sums=record_sums,
        totals=totals,
        block_totals=block_totals,
        moving_average=(cumulative[high] - cumulative[low])
        / (spanned[high] - spanned[low])[:, None],
        t90=_first_reaching(cumulative, steps),
        binned_total=np.diff(cumulative[ends], axis=0, prepend=0),
        binned_records=np.diff(ends, prepend=0),
        **positives.results(),
    )


def _groups_of(layout: CubeLayout) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Start of each run of cells of one (layer, component), with its layer and component."""
    layers, components, _ = layout.index
    new = np.ones(len(layers), dtype=bool)
    new[1:] = (np.diff(layers) != 0) | (np.diff(components) != 0)
    starts = np.flatnonzero(new)
    return starts, layers[starts], components[starts]


def _refuse_nan(values: np.ndarray, layout: CubeLayout, estimator: str, steps: np.ndarray) -> None:
    bad = ~np.isfinite(values)
    if not bad.any():
        return
    row, column = np.argwhere(bad)[0]
    cell = layout.cells[column]
    raise CubeError(
        f"estimator {estimator} holds {values[row, column]} at layer {cell.layer}, component "
        f"{cell.component}, head {'none' if cell.head is None else cell.head}, step {steps[row]}; "
        "expected a finite number: train the model again from the checkpoint before that step"
    )


def _add_blocks(sums: np.ndarray, plan: Plan, steps: np.ndarray, values: np.ndarray) -> None:
    """Add a run of records (n, cells) at `steps` (n,) to the sums (blocks, cells)."""
    present, starts = np.unique(np.searchsorted(plan.block_last, steps), return_index=True)
    sums[present] += np.add.reduceat(values, starts, axis=0, dtype=np.float64)


def _first_reaching(cumulative: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Per group, the first step at which T90_SHARE of its total is reached; NaN if total 0."""
    reached = np.full(cumulative.shape[1], np.nan)
    for group, total in enumerate(cumulative[-1]):
        if total != 0:
            # A total may be positive (it hurt): compare in the direction of the total.
            there = cumulative[1:, group] * np.sign(total) >= T90_SHARE * abs(total)
            reached[group] = steps[np.argmax(there)]
    return reached


class _Positives:
    """Counts and largest values of positive LCA, over everything and per bin of training."""

    def __init__(self, plan: Plan, groups: int):
        self.plan = plan
        conventions, bins = len(UNIT_CONVENTIONS), len(plan.bin_last)
        self.last_step = np.zeros(groups)
        self.largest = np.zeros((conventions, groups))
        self.largest_step = np.zeros((conventions, groups))
        self.bin_count = np.zeros((bins, groups))
        self.bin_sum = np.zeros((conventions, bins, groups))
        self.bin_max = np.zeros((conventions, bins, groups))

    def add(self, steps: np.ndarray, grouped: np.ndarray) -> None:
        """Take in a run of records (n, groups) at `steps` (n,)."""
        positive = np.maximum(grouped, 0)
        found = positive > 0
        last = steps[len(steps) - 1 - np.argmax(found[::-1], axis=0)]
        self.last_step = np.where(found.any(axis=0), last, self.last_step)
        bins = np.searchsorted(self.plan.bin_last, steps)
        present, starts = np.unique(bins, return_index=True)
        self.bin_count[present] += np.add.reduceat(found, starts, axis=0, dtype=np.int64)
        rows = np.searchsorted(self.plan.steps, steps)
        for convention, factor in enumerate(self.plan.factors.values()):
            scaled = positive * factor[rows, None]
            self.bin_sum[convention, present] += np.add.reduceat(scaled, starts, axis=0)
            peak = np.maximum.reduceat(scaled, starts, axis=0)
            self.bin_max[convention, present] = np.maximum(self.bin_max[convention, present], peak)
            row = np.argmax(scaled, axis=0)
            value = scaled[row, np.arange(scaled.shape[1])]
            higher = value > self.largest[convention]
            self.largest_step[convention] = np.where(
                higher, steps[row], self.largest_step[convention]
            )
            self.largest[convention] = np.maximum(self.largest[convention], value)

    def results(self) -> dict[str, np.ndarray]:
        """The fields of StreamedEstimator that speak of positive LCA."""
        return {
            "positive_count": self.bin_count.sum(axis=0),
            "last_positive_step": self.last_step,
            "largest_positive": self.largest,
            "largest_positive_step": self.largest_step,
            "binned_positive_count": self.bin_count,
            "binned_positive_sum": self.bin_sum,
            "binned_positive_max": self.bin_max,
        }
