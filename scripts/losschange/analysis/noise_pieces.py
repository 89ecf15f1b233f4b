"""A recorded training cut into pieces at whose ends all estimators of the three parts agree.

The paper's estimator and a fresh one see single updates, Simpson's rule sees intervals between
updates. Their sums can be compared over runs of updates that begin and end where intervals of
Simpson's rule do: the pieces. They are also what the bootstrap draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from losschange.cube.format import estimators_of, iterate_blocks, layout_of, steps_of
from losschange.cube.layout import CubeLayout

from .resampling import FEWEST_PIECES, STRETCH, local_draw
from .text_profiles import WIDENING

NEEDED = ("batch", "fresh", "simpson")
MAXIMUM_PIECES = 250


class NoiseError(ValueError):
    """Windows or a recording from which the parts cannot be computed."""


@dataclass(frozen=True)
class Pieces:
    """Sums of LCA per piece of training.

    Parameters
    ----------
    edges : int array (pieces + 1,)
        A piece covers the updates edges[i] + 1 to edges[i + 1].
    sums : mapping of estimator to float array (pieces, cells)
        Nats per target token, in the order of the layout's cells. Those of `fresh` are scaled
        to all updates of their piece. Only the estimators that were recorded.
    layout : CubeLayout
    windows : sequence of (int, int)
        Each a run of pieces, first included, last excluded; the first is the whole run.
    """

    edges: np.ndarray
    sums: dict[str, np.ndarray]
    layout: CubeLayout
    windows: tuple[tuple[int, int], ...]

    def draws(self, window: tuple[int, int], draws: int, seed: int) -> np.ndarray:
        """How often each piece of a window counts in each resampling (draws, pieces).

        By the local block bootstrap; NaN where the window has fewer than FEWEST_PIECES.
        """
        length = window[1] - window[0]
        weights = np.full((draws, length), np.nan)
        if length >= FEWEST_PIECES:
            random = np.random.default_rng((seed, *window))
            for draw in range(draws):
                weights[draw] = np.bincount(local_draw(length, random), minlength=length)
        widened: np.ndarray = 1 + WIDENING * (weights - 1)
        return widened


@dataclass(frozen=True)
class _Source:
    """What is needed of an open cube or of a summary.

    `ends` are the updates at which pieces may end. `fresh_until(ends)` counts the records of
    `fresh` up to updates, `sums(estimator, edges)` sums an estimator's LCA between them.
    """

    start: int
    ends: np.ndarray
    names: tuple[str, ...]
    fresh_until: Callable[[np.ndarray], np.ndarray]
    sums: Callable[[str, np.ndarray], np.ndarray]


def is_summary(dataset: xr.Dataset) -> bool:
    """Whether a data set is a summary, and otherwise an open cube."""
    return "summary_format" in dataset.attrs


def read_pieces(
    dataset: xr.Dataset, windows: int = 4, edges: Sequence[int] | None = None
) -> Pieces:
    """Cut a training into pieces and windows and sum the estimators over the pieces.

    Parameters
    ----------
    dataset : Dataset
        An open cube, read in runs of steps, or a summary, whose pieces are its blocks.
    windows : int
        Into how many windows of about equally many pieces the run is cut; fewer where a window
        would have too few pieces for an interval.
    edges : sequence of int, optional
        Ends of the windows instead, ascending: the first window begins after update edges[0].

    Raises
    ------
    NoiseError
        If the cube lacks updates, an edge is no end of an interval of Simpson's rule, or a window
        holds no fresh record.
    """
    source = _summary_source(dataset) if is_summary(dataset) else _cube_source(dataset)
    if not source.names:
        raise NoiseError(f"none of {', '.join(NEEDED)} was recorded, so no part can be told")
    if windows < 1:
        raise NoiseError(f"{windows} windows were asked for; ask for at least one")
    borders = [source.start, int(source.ends[-1])] if edges is None else _checked(source, edges)
    cuts = [_cut(source, first, last) for first, last in zip(borders, borders[1:])]
    found = np.concatenate([[borders[0]], *cuts]).astype(np.int64)
    whole = (0, len(found) - 1)
    if edges is None:
        stops = _equal_runs(len(found) - 1, windows)
    else:
        stops = np.cumsum([len(cut) for cut in cuts]).tolist()
    sums = {name: source.sums(name, found) for name in source.names}
    if "fresh" in sums:
        counts = np.diff(source.fresh_until(found))
        sums["fresh"] *= (np.diff(found) / counts)[:, None]
    runs = zip([0, *stops[:-1]], stops)
    return Pieces(found, sums, layout_of(dataset), (whole, *runs))


def _equal_runs(pieces: int, windows: int) -> list[int]:
    """Ends of runs of whole stretches of the bootstrap, each of FEWEST_PIECES or more."""
    count = max(1, min(windows, pieces // FEWEST_PIECES))
    stops = [pieces * (place + 1) // count // STRETCH * STRETCH for place in range(count - 1)]
    return [*stops, pieces]


def _checked(source: _Source, edges: Sequence[int]) -> list[int]:
    borders = [int(edge) for edge in edges]
    if len(borders) < 2 or sorted(set(borders)) != borders:
        raise NoiseError(f"edges of windows must ascend and be two or more, not {borders}")
    allowed = np.append(source.start, source.ends)
    for edge in borders:
        if edge not in allowed:
            near = np.unique(allowed[np.argsort(abs(allowed - edge), kind="stable")[:2]])
            raise NoiseError(
                f"a window cannot begin or end after update {edge}: it must do so where intervals "
                f"of Simpson's rule do; the nearest are {' and '.join(map(str, near))}"
            )
    return borders


def _cut(source: _Source, first: int, last: int) -> list[int]:
    """Ends of the pieces of a window: each holds a fresh record where there are any at all."""
    ends = source.ends[(source.ends > first) & (source.ends <= last)]
    needed = 1 if "fresh" in source.names else 0
    held = source.fresh_until(np.append(first, ends))
    if held[-1] - held[0] < needed:
        raise NoiseError(
            f"no fresh gradient was recorded in updates {first + 1} to {last}; choose longer "
            "windows, or record `fresh` with a smaller stride"
        )
    shortest = -(-int(source.ends[-1] - source.start) // MAXIMUM_PIECES)
    cuts: list[int] = []
    before, count = first, held[0]
    for end, until in zip(ends.tolist(), held[1:]):
        if until - count >= needed and end - before >= shortest:
            cuts.append(end)
            before, count = end, until
    # What is left over belongs to the last piece.
    return [*cuts[:-1], last]


def _cube_source(cube: xr.Dataset) -> _Source:
    names = tuple(name for name in estimators_of(cube) if name in NEEDED)
    names = tuple(name for name in names if len(steps_of(cube, name)))
    steps = cube["step"].values.astype(np.int64)
    if not len(steps):
        raise NoiseError("the cube records no steps; train the model first")
    start = int(cube.attrs.get("start_update", steps[0] - 1))
    gaps = np.diff(steps, prepend=start)
    if "batch" in names and (gaps != 1).any():
        place = int(np.argmax(gaps != 1))
        raise NoiseError(
            f"the cube lacks the updates before {steps[place]}; the parts are sums over every "
            "update of a window, so train without a break in the recording"
        )
    layout = layout_of(cube)
    fresh = steps_of(cube, "fresh") if "fresh" in names else np.array([], dtype=np.int64)

    def sums(name: str, edges: np.ndarray) -> np.ndarray:
        found = np.zeros((len(edges) - 1, len(layout.cells)))
        at = steps_of(cube, name)
        for first, block in iterate_blocks(cube, name):
            values = finite_cells(layout, block, name)
            # Update edges[i] is the last of piece i - 1.
            piece = np.searchsorted(edges, at[first : first + len(values)]) - 1
            inside = (piece >= 0) & (piece < len(found))
            present, starts = np.unique(piece[inside], return_index=True)
            if len(present):
                found[present] += np.add.reduceat(values[inside], starts, axis=0)
        return found

    ends = steps_of(cube, "simpson") if "simpson" in names else steps
    return _Source(start, ends, names, lambda at: np.searchsorted(fresh, at, side="right"), sums)


def finite_cells(layout: CubeLayout, block: np.ndarray, estimator: str) -> np.ndarray:
    """Records (n, layer, component, head) as float64 (n, cells); raises NoiseError at a NaN."""
    values: np.ndarray = layout.from_grid(block).astype(np.float64)
    if not np.isfinite(values).all():
        raise NoiseError(
            f"estimator {estimator} holds numbers that are not finite; summarise_cube.py says where"
        )
    return values


def _summary_source(summary: xr.Dataset) -> _Source:
    recorded = [str(name) for name in summary["estimator"].values]
    names = tuple(name for name in NEEDED if name in recorded)
    blocks = summary["block"].values.astype(np.int64)
    start = int(summary["bin_first"].values[0]) - 1
    # Blocks are runs of whole bins, so that their records can be counted.
    last_bins = np.searchsorted(summary["bin"].values, blocks)
    layout = layout_of(summary)
    ends = blocks
    if "simpson" in names:
        # Intervals end at the multiples of their stride, and the last with the training.
        one = summary.sel(estimator="simpson")
        last = start + round(float(one["coverage"]) * (int(blocks[-1]) - start))
        ends = blocks[(blocks == last) | ((blocks < last) & (blocks % int(one["stride"]) == 0))]
        if not len(ends):
            raise NoiseError(
                "no block of this summary ends with an interval of Simpson's rule; "
                "take the parts from the cube itself"
            )
    counted = np.zeros(len(blocks) + 1, dtype=np.int64)
    if "fresh" in names:
        records = summary["binned_records"].sel(estimator="fresh").values
        counted[1:] = np.cumsum(records)[last_bins]

    def sums(name: str, edges: np.ndarray) -> np.ndarray:
        grid = summary["block_total"].sel(estimator=name).values
        running = np.zeros((len(blocks) + 1, len(layout.cells)))
        np.cumsum(finite_cells(layout, grid, name), axis=0, out=running[1:])
        found: np.ndarray = np.diff(running[places(edges)], axis=0)
        return found

    def places(at: np.ndarray) -> np.ndarray:
        return np.searchsorted(blocks, at, side="right")

    return _Source(start, ends, names, lambda at: counted[places(at)], sums)
