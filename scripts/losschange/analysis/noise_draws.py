"""Resamplings of the three parts, for statistics that are computed from several of them.

Intervals of quotients, rank correlations and slopes need the resamplings themselves: the statistic
is computed of each of them, and the percentiles of the results are its interval.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from losschange.cube.format import NATS

from .noise import AXES, PARTS, Groups, Resampled, cannot_tell, resample
from .noise_pieces import read_pieces
from .text_profiles import DRAWS

BATCH = "batch"
# "batch" is the sum of the parts.
TERMS = (BATCH, *PARTS)


def resampled_parts(
    source: xr.Dataset,
    by: Sequence[str] = AXES,
    windows: int = 4,
    edges: Sequence[int] | None = None,
    draws: int = DRAWS,
    seed: int = 1,
) -> xr.Dataset:
    """The three parts and their sum, and the same of every resampling of training.

    Parameters
    ----------
    source, by, windows, edges, draws, seed
        As of `losschange.analysis.noise.parts`.

    Returns
    -------
    Dataset
        `value` (term, window, *by) and `drawn` (draw, term, window, *by), in nats per target token,
        negative where the loss fell. Terms are "batch" and the parts that it is the sum of. Window
        0 is the whole run as far as intervals of Simpson's rule reach, the others follow in time;
        `window_first` and `window_last` are their first and last updates. NaN where the model has
        no cell, in terms that the recording cannot tell (the attribute `cannot_tell` says why),
        and in resamplings of windows with fewer than 10 pieces.

    Raises
    ------
    NoiseError
        For the reasons that `parts` gives.
    """
    pieces = read_pieces(source, windows, edges)
    groups = Groups(pieces.layout, by)
    found = list(resample(pieces, groups, draws, seed))
    told = [[_term(window, term, draws) for window in found] for term in TERMS]
    value = np.array([[one for one, _ in row] for row in told])
    drawn = np.array([[many for _, many in row] for row in told])  # (term, window, draw, groups)
    labels: dict[str, np.ndarray] = {axis: source[axis].values for axis in groups.by}
    result = xr.Dataset(
        coords={
            "term": list(TERMS),
            "window": np.arange(len(found)),
            "window_first": ("window", [window.first for window in found]),
            "window_last": ("window", [window.last for window in found]),
            **labels,
        },
        attrs={"cannot_tell": cannot_tell(pieces.sums)},
    )
    meaning = {"units": "1", "long_name": f"sum of LCA over the window, {NATS}"}
    axes = ("term", "window", *groups.by)
    result["value"] = (axes, groups.grid(value), meaning)
    moved = np.moveaxis(drawn, 2, 0)
    result["drawn"] = (("draw", *axes), groups.grid(moved).astype(np.float32), meaning)
    return result


def _term(window: Resampled, term: str, draws: int) -> tuple[np.ndarray, np.ndarray]:
    """Value (groups,) and resamplings (draws, groups); NaN where the recording cannot tell."""
    needed = {term} if term == BATCH else {*PARTS[term]} - {None}
    if not needed <= window.value.keys():
        return np.full(window.groups, np.nan), np.full((draws, window.groups), np.nan)
    return (window.value[term], window.drawn[term]) if term == BATCH else window.part(term)
