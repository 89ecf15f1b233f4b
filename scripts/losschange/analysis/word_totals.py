"""Sums of LCA of embedding rows by word frequency, for summaries (Zhu et al. 2020, Figure 5)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xarray as xr

from losschange.cube.format import detail_variable, steps_of

from .streaming import Plan

NAME = "word_block_total"
# Records read at a time, to limit memory.
ROWS = 4096


def add_word_totals(
    summary: xr.Dataset, cube: xr.Dataset, plan: Plan, estimators: Iterable[str]
) -> None:
    """Add `word_block_total` (estimator, block, matrix, frequency_bin) where it was recorded.

    Parameters
    ----------
    summary : Dataset
        With the blocks of `plan`; changed.
    cube : Dataset
        Open.
    plan : Plan
    estimators : iterable of str
        Those of the summary, in its order; the sums of an estimator without the detail
        "vocabulary" are NaN.
    """
    names = list(estimators)
    recorded = [name for name in names if detail_variable("vocabulary", name) in cube]
    if not recorded:
        return
    sizes = [cube.sizes[name] for name in ("matrix", "frequency_bin")]
    sums = np.full((len(names), len(plan.block_last), *sizes), np.nan)
    for name in recorded:
        sums[names.index(name)] = _block_sums(cube, name, plan)
    summary[NAME] = (
        ("estimator", "block", "matrix", "frequency_bin"),
        sums,
        {
            "units": "nats",
            "long_name": "LCA of the rows of words of a frequency, summed over the block's records",
        },
    )
    for name in ("text_share", "n_words"):
        summary[name] = ("frequency_bin", cube[name].values, dict(cube[name].attrs))
    summary["matrix"] = [str(name) for name in cube["matrix"].values]


def _block_sums(cube: xr.Dataset, estimator: str, plan: Plan) -> np.ndarray:
    """Sums (blocks, matrices, bins) of one estimator."""
    values = cube[detail_variable("vocabulary", estimator)]
    blocks = np.searchsorted(plan.block_last, steps_of(cube, estimator))
    sums = np.zeros((len(plan.block_last), *values.shape[1:]))
    for start in range(0, len(blocks), ROWS):
        rows = values[start : start + ROWS].values.astype(np.float64)
        np.add.at(sums, blocks[start : start + ROWS], rows)
    return sums
