"""Start a training from a resume point of its parent.

Up to the resume point both trainings are identical to the bit, so the new one takes over the
parent's records and history of these updates.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from common.files import UserError, replace_when_complete
from losschange.cube.estimators import parse_estimator
from losschange.cube.format import SERIES, estimators_of, layout_of, open_cube, steps_of
from losschange.cube.parts import PartStore, Records, read_records
from losschange.cube.word_bins import bins_of
from losschange_fairseq.checkpoints import CheckpointFolder

# Updates per part, so that a long cube need not fit into memory.
PART = 1000
# Further variables of an estimator that are recorded only if the configuration lists them.
ASKED_FOR = ("positive", "helped", "vocabulary")


def start_from_parent(state: Path, files: Mapping[str, Path], recording: Mapping[str, Any]) -> None:
    """Put the parent's state, records and history into the state folder of a new training.

    Does nothing if the training has no parent to start from, or has saved a state of its own.

    Parameters
    ----------
    state : path
        State folder of the training.
    files : mapping of str to path
        `resume_point` (named after its number of updates), `parent_cube` and `parent_history`;
        without the first the training starts from the beginning.
    recording : mapping
        Recording settings of the training; only estimators and details in them are taken over.

    Raises
    ------
    UserError
        If the parent has not recorded an estimator that the training records, or did so at
        another stride.
    """
    checkpoints = CheckpointFolder(state / "checkpoints")
    if "resume_point" not in files or checkpoints.newest() is not None:
        return
    update = int(files["resume_point"].stem)
    store = PartStore(state / "parts")
    store.drop_after(0)
    with open_cube(files["parent_cube"]) as cube:
        _take_over(store, cube, update, recording, files["parent_cube"])
    with replace_when_complete(state / "history.csv") as temporary:
        shutil.copyfile(files["parent_history"], temporary)
    # Copy the checkpoint last: once it exists, the steps above are not repeated.
    with replace_when_complete(checkpoints.path(update)) as temporary:
        shutil.copyfile(files["resume_point"], temporary)


def _take_over(
    store: PartStore, cube: xr.Dataset, update: int, recording: Mapping[str, Any], path: Path
) -> None:
    """Write the records of the first updates of a cube as parts."""
    strides = {"batch": 1, **recording["estimators"]}
    wanted = [name for name, stride in strides.items() if stride]
    _refuse_others(cube, {name: strides[name] for name in wanted}, path)
    layout, details = layout_of(cube), recording["details"]
    binned = any("vocabulary" in names for names in details.values())
    valid = list(
        zip(cube["valid_step"].values.tolist(), cube["valid_loss"].values.tolist(), strict=True)
    )
    for first in range(1, update + 1, PART):
        last = min(first + PART - 1, update)
        records = {}
        for name in wanted:
            steps = steps_of(cube, name)
            chosen = slice(*np.searchsorted(steps, [first, last + 1]).tolist())
            axis = cube[parse_estimator(name).variable].dims[0]
            found = read_records(cube.isel({axis: chosen}), layout, name)
            kept = {n: v for n, v in found.details.items() if _asked(n, details.get(name, ()))}
            records[name] = Records(found.steps, found.values, kept)
        series = {name: cube[name].values[first - 1 : last] for name in SERIES}
        begin = 0 if first == 1 else first
        losses = [(step, loss) for step, loss in valid if begin <= step <= last]
        bins = bins_of(cube) if binned else None
        store.write(first, layout, series, records, losses, {}, bins)


def _asked(detail: str, asked: Collection[str]) -> bool:
    return detail not in ASKED_FOR or detail in asked


def _refuse_others(cube: xr.Dataset, strides: Mapping[str, int], path: Path) -> None:
    recorded = estimators_of(cube)
    for name, stride in strides.items():
        steps = steps_of(cube, name) if name in recorded else np.empty(0)
        if name not in recorded or (len(steps) and int(steps[0]) != stride):
            raise UserError(
                f"{path} does not hold {name} at every {stride} updates, which the training that "
                "starts from it records; train the parent again with the same recording"
            )
