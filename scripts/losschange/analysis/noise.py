"""What the paper's estimator measures: the loss change, curvature and gradient noise.

For one update with step D, gradient g of its batch and gradient G of the whole text, both where
the step begins, and the loss change S measured along the step:

    batch  =  g.D  =  S  +  (G.D - S)  +  (g - G).D
                   measured  curvature     noise

The step was made from g, so their errors agree, and the last term does not average out. A freshly
drawn batch gives an unbiased estimate of G.D (Zhu et al. 2020, section 2.2), and Simpson's rule
gives S (Lan et al. 2019), so that of recorded estimators

    measured = simpson,  curvature = fresh - simpson,  noise = batch - fresh

per cell. The three add up to `batch` by construction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from losschange.cube.format import NATS, iterate_blocks, layout_of, steps_of
from losschange.cube.layout import CubeLayout

from .noise_pieces import NEEDED, NoiseError, Pieces, finite_cells, read_pieces
from .text_profiles import DRAWS, INTERVAL

AXES = ("layer", "component", "head")
# Part: (estimator, the one that is subtracted from it or None).
PARTS: dict[str, tuple[str, str | None]] = {
    "measured": ("simpson", None),
    "curvature": ("fresh", "simpson"),
    "noise": ("batch", "fresh"),
}


@dataclass(frozen=True)
class Resampled:
    """Sums of the estimators over one window, and of its resamplings.

    Parameters
    ----------
    first, last : int
        First and last update of the window.
    value : mapping of estimator to float array (groups,)
    drawn : mapping of estimator to float array (draws, groups)
        NaN where the window has too few pieces to resample.
    """

    first: int
    last: int
    value: dict[str, np.ndarray]
    drawn: dict[str, np.ndarray]

    @property
    def groups(self) -> int:
        """Number of groups of cells."""
        return len(next(iter(self.value.values())))

    def part(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Value (groups,) and resamplings (draws, groups) of one of PARTS."""
        of, less = PARTS[name]
        if less is None:
            return self.value[of], self.drawn[of]
        return self.value[of] - self.value[less], self.drawn[of] - self.drawn[less]


class Groups:
    """Cells summed over the axes that are not asked for.

    Parameters
    ----------
    layout : CubeLayout
    by : sequence of str
        Some of "layer", "component" and "head"; none gives sums over the whole model.

    Raises
    ------
    NoiseError
        If an axis is unknown or named twice.
    """

    def __init__(self, layout: CubeLayout, by: Sequence[str]):
        if len(set(by)) != len(by) or not set(by) <= set(AXES):
            raise NoiseError(f"cannot sum by {list(by)}; allowed are some of {', '.join(AXES)}")
        self.by = tuple(axis for axis in AXES if axis in by)
        places = [AXES.index(axis) for axis in self.by]
        self.shape = tuple(layout.shape[place] for place in places)
        columns = np.zeros(len(layout.cells), dtype=np.int64)
        for place in places:
            columns = columns * layout.shape[place] + layout.index[place]
        # The grid's places that hold cells, and of each cell which of them is its own.
        self._present, self._column = np.unique(columns, return_inverse=True)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Values (n, cells) summed to (n, groups)."""
        found = np.zeros((len(self._present), len(values)))
        np.add.at(found, self._column, values.T)
        return found.T

    def grid(self, values: np.ndarray) -> np.ndarray:
        """Values (..., groups) on the axes (..., *by); NaN where the model has no cell."""
        found = np.full((*values.shape[:-1], int(np.prod(self.shape))), np.nan)
        found[..., self._present] = values
        return found.reshape(*values.shape[:-1], *self.shape)


def resample(pieces: Pieces, groups: Groups, draws: int, seed: int) -> Iterator[Resampled]:
    """Sums of the recorded estimators over the whole run, then over each window."""
    summed = {name: groups.sums(values) for name, values in pieces.sums.items()}
    for window in pieces.windows:
        weights = pieces.draws(window, draws, seed)
        own = {name: values[slice(*window)] for name, values in summed.items()}
        yield Resampled(
            int(pieces.edges[window[0]]) + 1,
            int(pieces.edges[window[1]]),
            {name: values.sum(axis=0) for name, values in own.items()},
            {name: weights @ values for name, values in own.items()},
        )


def interval(value: np.ndarray, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval of values (groups,) from resamplings (draws, groups); NaN without any."""
    low, high = np.percentile(drawn, INTERVAL, axis=0)
    return np.minimum(low, value), np.maximum(high, value)


def parts(
    source: xr.Dataset,
    by: Sequence[str] = AXES,
    windows: int = 4,
    edges: Sequence[int] | None = None,
    draws: int = DRAWS,
    seed: int = 1,
) -> xr.Dataset:
    """The measured change, curvature and noise in the LCA of the paper's estimator.

    Parameters
    ----------
    source : Dataset
        An open cube, or its summary (whose windows are coarser: it holds at most 50 blocks).
    by : sequence of str
        Axes of the result, some of "layer", "component" and "head"; sums over the others.
    windows : int
        Into how many windows the run is cut; fewer where one would have too few records for an
        interval. They begin and end where intervals of Simpson's rule do.
    edges : sequence of int, optional
        Updates after which windows begin and end, instead.
    draws, seed : int
        Resamplings of training, and their seed.

    Returns
    -------
    Dataset
        `value` (part, *by), over the run as far as intervals of Simpson's rule reach (the
        attributes `first_update` and `last_update`), and `window_value` (part, window, *by), in
        nats per target token, negative where the loss fell; `low` and `high`, `window_low` and
        `window_high` are their 95 % intervals by a local block bootstrap over training, which
        contain the sampling error of `fresh` (NaN with fewer than 10 pieces of training).
        `batch` (*by) and `window_batch` (window, *by) are the sums that the parts add up to.
        NaN where the model has no cell, and in parts that the recording cannot tell; of those
        the attribute `cannot_tell` says why, empty otherwise.

    Raises
    ------
    NoiseError
        If the cube lacks updates, an edge is no end of an interval of Simpson's rule, or a window
        has no fresh record.
    """
    pieces = read_pieces(source, windows, edges)
    groups = Groups(pieces.layout, by)
    found = list(resample(pieces, groups, draws, seed))
    result = _frame(source, groups)
    result.attrs |= {"first_update": found[0].first, "last_update": found[0].last}
    result.attrs["cannot_tell"] = cannot_tell(pieces.sums)
    result.coords["window_first"] = ("window", [window.first for window in found[1:]])
    result.coords["window_last"] = ("window", [window.last for window in found[1:]])
    batch = groups.grid(np.stack([_sum_of(window, "batch") for window in found]))
    _add(result, "batch", groups.by, batch[0])
    _add(result, "window_batch", ("window", *groups.by), batch[1:])
    # (value, low or high; window with the whole run first; part; groups)
    told = np.stack([[_told(window, name) for name in PARTS] for window in found])
    for place, name in enumerate(("value", "low", "high")):
        grid = groups.grid(told[:, :, place])
        _add(result, name, ("part", *groups.by), grid[0])
        axes = ("part", "window", *groups.by)
        _add(result, f"window_{name}", axes, grid[1:].swapaxes(0, 1))
    return result


def update_parts(cube: xr.Dataset, by: Sequence[str] = ("layer", "component")) -> xr.DataArray:
    """The three parts of every single update, of a cube in which all three see every update.

    Parameters
    ----------
    cube : Dataset
        An open cube.
    by : sequence of str
        Axes of the result, some of "layer", "component" and "head"; sums over the others.

    Returns
    -------
    DataArray
        (part, step, *by), nats per target token; NaN where the model has no cell. One update's
        parts are single draws: `parts` has the intervals of their sums.

    Raises
    ------
    NoiseError
        If one of the three is missing, or does not look at every update.
    """
    layout = layout_of(cube)
    groups = Groups(layout, by)
    recorded = read_pieces(cube).sums
    sentence = cannot_tell(recorded)
    if sentence:
        raise NoiseError(sentence)
    steps = cube["step"].values.astype(np.int64)
    found: dict[str, np.ndarray] = {}
    for name in NEEDED:
        if not np.array_equal(steps_of(cube, name), steps):
            raise NoiseError(
                f"the estimator {name} does not look at every update; the parts are then known "
                "as sums over windows only (losschange.analysis.noise.parts)"
            )
        runs = [
            groups.sums(finite_cells(layout, block, name))
            for _, block in iterate_blocks(cube, name)
        ]
        found[name] = np.concatenate(runs)
    values = [found[of] if less is None else found[of] - found[less] for of, less in PARTS.values()]
    frame = _frame(cube, groups).assign_coords(step=steps)
    _add(frame, "value", ("part", "step", *groups.by), groups.grid(np.stack(values)))
    return frame["value"]


def cannot_tell(recorded: Iterable[str]) -> str:
    """A sentence for each part that a recording of these estimators leaves unknown, or ""."""
    present = set(recorded)
    sentences = []
    for part, estimators in PARTS.items():
        missing = [name for name in estimators if name is not None and name not in present]
        if missing:
            sentences.append(
                f"The {part} part cannot be told, because {' and '.join(missing)} "
                f"{'was' if len(missing) == 1 else 'were'} not recorded."
            )
    return " ".join(sentences)


def _told(found: Resampled, part: str) -> np.ndarray:
    """Value, low and high (3, groups) of a part, NaN where it cannot be told."""
    if {*PARTS[part]} - {None} <= found.value.keys():
        value, drawn = found.part(part)
        return np.stack([value, *interval(value, drawn)])
    return np.full((3, found.groups), np.nan)


def _sum_of(found: Resampled, estimator: str) -> np.ndarray:
    return found.value.get(estimator, np.full(found.groups, np.nan))


def _frame(source: xr.Dataset, groups: Groups) -> xr.Dataset:
    """An empty data set with the axes of the groups and the parts, and the model's attributes."""
    labels: dict[str, np.ndarray] = {axis: source[axis].values for axis in groups.by}
    attributes = {name: source.attrs[name] for name in ("model",) if name in source.attrs}
    return xr.Dataset(coords={"part": list(PARTS), **labels}, attrs=attributes)


def _add(result: xr.Dataset, name: str, axes: Sequence[str], values: np.ndarray) -> None:
    attributes = {"units": "1", "long_name": f"{name.replace('_', ' ')}, {NATS}"}
    result[name] = (tuple(axes), values, attributes)
