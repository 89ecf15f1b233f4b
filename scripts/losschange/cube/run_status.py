"""The state of a training, read from the parts that it has written so far, or from a cube.

The training may write and drop parts at the same time. Every part is opened once, in order; at the
first one that has vanished since the folder was listed, reading ends without an error. Only a few
numbers per update are held in memory.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from .estimators import parse_estimator
from .format import (
    detail_variable,
    estimators_of,
    iterate_blocks,
    layout_of,
    open_cube,
    rates_of,
    steps_of,
)
from .layout import Cell, CubeError, CubeLayout
from .parts import PartStore

LOSS_WINDOW = 100
# Where parts lie below the folder of a model's state and below that of the model.
PLACES = (".", "parts", "state/parts")


class StatusError(ValueError):
    """There are no parts or cube to read, or the requested estimator was not recorded."""


@dataclass
class ProbeStatus:
    """What a probe measured from the start of the training to its last evaluation.

    Parameters
    ----------
    updates : int
        Made before its last evaluation.
    loss_before, loss : float
        Its loss at the start and at the last evaluation, nats per target token.
    total : float
        Sum of its LCA.
    batch_total : float
        Sum of the LCA of "batch" over the same updates.
    """

    updates: int
    loss_before: float
    loss: float
    total: float
    batch_total: float = np.nan

    @property
    def change(self) -> float:
        """The measured change of the loss."""
        return self.loss - self.loss_before


@dataclass
class RunStatus:
    """What the parts of a training hold together.

    Parameters
    ----------
    layout : CubeLayout
    updates_before : int
        Updates before the first that was recorded.
    updates : int
        Number of the last update.
    attributes : dict
        Global attributes of the newest part.
    loss, rate, batch : lists of float
        Training loss, learning rate, and sum of all LCA of "batch", per update; a cube of
        checkpoints has no "batch".
    group_rates : mapping of series to float
        Learning rates of the last update by group, where there are several.
    totals : mapping of estimator to float array (cells,)
        LCA summed over training.
    looks : mapping of estimator to int
        At how many updates each estimator was recorded.
    probes : mapping of probe estimator to ProbeStatus
    valid_losses : list of (update, nats)
    """

    layout: CubeLayout
    updates_before: int
    updates: int
    attributes: dict[str, Any] = field(default_factory=dict)
    loss: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    batch: list[float] = field(default_factory=list)
    group_rates: dict[str, float] = field(default_factory=dict)
    totals: dict[str, np.ndarray] = field(default_factory=dict)
    looks: dict[str, int] = field(default_factory=dict)
    probes: dict[str, ProbeStatus] = field(default_factory=dict)
    valid_losses: list[tuple[int, float]] = field(default_factory=list)

    def cells(self, estimator: str) -> list[tuple[Cell, float]]:
        """Cells and their total LCA in nats, the most helpful first.

        Raises
        ------
        StatusError
            If the estimator was not recorded.
        """
        self.check_estimator(estimator)
        totals = self.totals[estimator]
        return [(self.layout.cells[i], float(totals[i])) for i in np.argsort(totals, kind="stable")]

    def check_estimator(self, estimator: str) -> None:
        """Raise StatusError, with those that there are, if an estimator was not recorded."""
        if estimator not in self.totals:
            raise StatusError(
                f"the estimator {estimator!r} was not recorded; recorded: {', '.join(self.totals)}"
            )

    def loss_means(self) -> tuple[float, float, int]:
        """Mean loss of the last updates, that of as many before them, and how many they are."""
        known = np.array([loss for loss in self.loss if np.isfinite(loss)])
        count = min(LOSS_WINDOW, max(1, len(known) // 2))
        means = [part.mean() if len(part) else np.nan for part in (known[-count:], known[:-count])]
        if len(known) > count:
            means[1] = known[-2 * count : -count].mean()
        return float(means[0]), float(means[1]), count

    def summary(self) -> xr.Dataset:
        """What `losschange.analysis.profiles.layer_profile` needs of a summary."""
        totals = np.stack([self.layout.to_grid(total) for total in self.totals.values()])
        # A component that no layer has is drawn as an empty panel.
        totals[:, :, ~np.isfinite(totals).any(axis=(0, 1, 3))] = 0.0
        updates = max(1, self.updates - self.updates_before)
        coverage = [self.looks[name] / updates for name in self.totals]
        return xr.Dataset(
            {
                "totals": (("estimator", "layer", "component", "head"), totals),
                "coverage": ("estimator", coverage),
            },
            {
                "estimator": list(self.totals),
                "rule": ("estimator", [parse_estimator(name).rule for name in self.totals]),
                "component": list(self.layout.components),
                "stack": ("layer", list(self.layout.stacks)),
            },
            {"model": "", "objective": "", **self.attributes},
        )


def find_records(path: str | os.PathLike[str]) -> list[Path]:
    """The files to read: a cube, or the parts in a folder, ascending.

    Parameters
    ----------
    path : path
        A cube, a folder of parts, or the folder of a model or of its state.

    Raises
    ------
    StatusError
        If there is nothing, or nothing yet.
    """
    path = Path(path)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise StatusError(
            f"there is no file or folder {path}; give a cube, a folder of parts, or the folder of "
            "a model's training"
        )
    for place in PLACES:
        parts = PartStore(path / place).parts()
        if parts:
            return [part for _, _, part in parts]
    raise StatusError(
        f"no parts in {path}: a training writes them with its checkpoints, so try again after the "
        "first one; a training that is over has put them together in a cube, so give that .nc file"
    )


def read_status(path: str | os.PathLike[str]) -> RunStatus:
    """Read all that was recorded so far, in runs of updates.

    Parameters
    ----------
    path : path
        See `find_records`.

    Raises
    ------
    StatusError
        If there is nothing to read.
    CubeError
        If a file is damaged or no cube.
    """
    status = None
    for file in find_records(path):
        try:
            with open_cube(file) as cube:
                first = int(cube["step"].values[0])
                start = int(cube.attrs.get("start_update", first - 1))
                status = status or RunStatus(layout_of(cube), start, start)
                if start != status.updates:
                    break
                _add(status, cube)
        except FileNotFoundError:
            # A training that goes on from a checkpoint drops what is later.
            break
        except RuntimeError as error:
            # netCDF4's own error for bytes that do not decompress
            raise CubeError(f"{file} is damaged ({error})") from None
    if status is None:
        raise StatusError(f"the parts in {path} were dropped just now; try again")
    running = np.concatenate([[0.0], np.cumsum(status.batch)])
    for found in status.probes.values() if status.batch else ():
        found.batch_total = float(running[found.updates - status.updates_before])
    return status


def _add(status: RunStatus, cube: xr.Dataset) -> None:
    """Take in one part."""
    status.attributes = dict(cube.attrs)
    status.updates = int(cube["step"].values[-1])
    status.valid_losses += zip(
        cube["valid_step"].values.tolist(), cube["valid_loss"].values.tolist(), strict=True
    )
    for name in estimators_of(cube):
        part = np.zeros(len(status.layout.cells))
        for _, block in iterate_blocks(cube, name):
            values = status.layout.from_grid(block).astype(np.float64)
            part += values.sum(axis=0)
            if name == "batch":
                status.batch += values.sum(axis=1).tolist()
        status.totals[name] = status.totals.get(name, 0.0) + part
        status.looks[name] = status.looks.get(name, 0) + len(steps_of(cube, name))
        if parse_estimator(name).is_probe:
            _add_probe(status, cube, name, float(part.sum()))
    status.loss += cube["loss"].values.tolist()
    status.rate += cube["lr"].values.tolist()
    status.group_rates = {name: float(cube[name].values[-1]) for name in rates_of(cube)}


def _add_probe(status: RunStatus, cube: xr.Dataset, name: str, total: float) -> None:
    steps = steps_of(cube, name)
    if not len(steps) or detail_variable("loss", name) not in cube:
        return
    loss = float(cube[detail_variable("loss", name)].values[-1])
    before = float(cube[detail_variable("loss_before", name)].values[0])
    if name in status.probes:
        before = status.probes[name].loss_before
        total += status.probes[name].total
    status.probes[name] = ProbeStatus(int(steps[-1]), before, loss, total)
