"""LCA that was still to come after an update, by cell."""

from __future__ import annotations

import numpy as np
import xarray as xr

from losschange.cube.estimators import parse_estimator
from losschange.cube.format import iterate_blocks, layout_of, steps_of


def lca_after(cube: xr.Dataset, estimator: str, update: int) -> np.ndarray:
    """LCA (cells,) of an open cube summed over the updates after `update`, nats per target token.

    An estimator that sees one update in k is scaled by the updates that its records stand for. Of
    an interval of a probe that holds `update`, the share of its updates after it counts.

    Parameters
    ----------
    cube : Dataset
    estimator : str
    update : int
        0 = all of the training.

    Returns
    -------
    float array (cells,)
        In the order of the layout's cells; NaN if nothing was recorded after the update.
    """
    layout, steps = layout_of(cube), steps_of(cube, estimator)
    begins = np.concatenate([[0], steps[:-1]])
    after = np.clip(steps - np.maximum(begins, update), 0, None)
    if parse_estimator(estimator).is_probe:
        weights = after / (steps - begins)
    else:
        weights = (steps > update).astype(float)
        updates = int(cube["step"].values[-1]) - update
        weights *= updates / max(weights.sum(), 1)
    if not weights.any():
        return np.full(len(layout.cells), np.nan)
    total = np.zeros(len(layout.cells))
    for start, block in iterate_blocks(cube, estimator):
        values = layout.from_grid(block).astype(np.float64)
        total += weights[start : start + len(block)] @ values
    return total
