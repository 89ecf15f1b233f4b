"""Telling once where recorded numbers mislead."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
import xarray as xr

from losschange.cube.format import (
    ESTIMATORS,
    PROBES,
    detail_variable,
    estimators_of,
    open_cube,
    steps_of,
)
from losschange.cube.parts import PartStore

LARGEST_ERROR = 0.05  # of an interval's loss change
LARGEST_RATIO = 2.0  # of the training batch's LCA to the loss change of the training text
# Nats, as a share of the loss: smaller changes drown in the rounding of float32.
LEAST_CHANGE = 1e-3

_log = logging.getLogger("losschange")


class ReliabilityWatch:
    """Warns, once for each reason, in the log and in an attribute of the cube."""

    def __init__(self) -> None:
        self._told: set[str] = set()
        self._seen = 0  # parts
        self._totals = np.zeros(2)

    def look(self, store: PartStore) -> None:
        """Log a warning if one of the parts written since the last look misleads."""
        parts = store.parts()
        for reason, text in misleading(store, self._seen, self._totals).items():
            if reason not in self._told:
                self._told.add(reason)
                _log.warning(text)
        self._seen = len(parts)

    def attributes(self, store: PartStore) -> dict[str, str]:
        """The attribute "warnings" of the cube of all parts; {} if there is nothing to say."""
        found = misleading(store)
        return {"warnings": " ".join(found.values())} if found else {}


def misleading(
    store: PartStore, first: int = 0, totals: np.ndarray | None = None
) -> dict[str, str]:
    """What misleads in the parts of a training, each as a sentence.

    Parameters
    ----------
    store : PartStore
    first : int
        Position of the first part to look at.
    totals : array (2,), optional
        LCA of the batches and loss change of the training text in the parts before; what the parts
        looked at hold is added to it.

    Returns
    -------
    mapping of reason to str
        "error": an interval whose LCA misses the measured loss change by more than
        `LARGEST_ERROR` of it. "batch": LCA of the training batches that is more than
        `LARGEST_RATIO` times the loss change of the training text.
    """
    found: dict[str, str] = {}
    totals = np.zeros(2) if totals is None else totals
    for _, _, path in store.parts()[first:]:
        with open_cube(path) as cube:
            for name, step, error, change in _poor_intervals(cube):
                found.setdefault(
                    "error",
                    f"At update {step} the cells of {name!r} sum to {change + error:.3g} nats, "
                    f"but the loss changed by {change:.3g}: look at it more often, or record "
                    '"simpson" with quadrature="adaptive".',
                )
                break
            totals += _batch_and_probe(cube)
    batch, probe = totals
    if abs(batch) > LARGEST_RATIO * abs(probe) > 0:
        found["batch"] = (
            f"\"batch\" sums to {batch:.3g} nats, but the loss of the training text changed by "
            f"{probe:.3g}: a batch's own gradient counts too much what the update did to it. "
            "Compare cells by a probe."
        )
    return found


def _poor_intervals(cube: xr.Dataset) -> Iterator[tuple[str, int, float, float]]:
    """(estimator, update, error, loss change) of intervals that miss the change, ascending."""
    for name in estimators_of(cube):
        if name not in PROBES:
            continue
        loss = cube[detail_variable("loss", name)].values
        change = loss - cube[detail_variable("loss_before", name)].values
        error = cube[detail_variable("error", name)].values
        allowed = LARGEST_ERROR * np.maximum(np.abs(change), LEAST_CHANGE * np.abs(loss))
        for place in np.flatnonzero(np.abs(error) > allowed):
            yield name, int(steps_of(cube, name)[place]), float(error[place]), float(change[place])


def _batch_and_probe(cube: xr.Dataset) -> np.ndarray:
    """Sum of the batch's LCA, and the change of the training text's loss; zeros without both."""
    for name, split in PROBES.items():
        if split == "train" and ESTIMATORS[name][0] in cube and cube[ESTIMATORS[name][0]].shape[0]:
            before = cube[detail_variable("loss_before", name)].values[0]
            after = cube[detail_variable("loss", name)].values[-1]
            return np.array([np.nansum(cube["lca"].values.astype("f8")), after - before])
    return np.zeros(2)
