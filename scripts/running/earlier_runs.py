"""Check before a run that no job of an earlier run, or of another user, still writes results."""

from __future__ import annotations

import atexit
from collections.abc import Mapping, Sequence
from pathlib import Path

from common.files import UserError

from . import slurm
from .ownership import Ownership, living_holder


def take_results(results: Path, states: list[Path], working_directory: Path) -> None:
    """Lock a results folder for this Snakemake process until it ends.

    The jobs of a killed Snakemake may still run. If a new Snakemake started the same jobs again,
    the new jobs would delete files of the running ones. So nothing starts while such jobs run.

    Parameters
    ----------
    results : path
        Folder of the run.
    states : list of paths
        State folders of the trainings of this run.
    working_directory : path
        Where Snakemake runs.

    Raises
    ------
    HeldError
        If another Snakemake process uses the folder.
    UserError
        If jobs of an earlier run are still in Slurm's queue, or trainings still run; names them
        and says how to stop them.
    """
    ownership = Ownership(results / ".run", "works on this results folder")
    ownership.acquire()
    atexit.register(ownership.release)
    jobs = slurm.jobs_of_folder(working_directory)
    if jobs:
        lines = "\n".join(f"  {job}" for job in jobs)
        raise UserError(
            f"Jobs of an earlier run are still in the queue:\n{lines}\nWait until they end, or "
            f"stop them: scancel {' '.join(job.number for job in jobs)}\n"
            "A stopped training saves and goes on in the next run"
        )
    holders = {state: living_holder(state) for state in states}
    trainings = [f"  {state}: {holder}" for state, holder in holders.items() if holder]
    if trainings:
        raise UserError(
            "Trainings of an earlier run still go on:\n"
            + "\n".join(trainings)
            + "\nWait until they end, or stop them; a stopped one saves and goes on in the next run"
        )


def trained_again(results: Path, outputs: Mapping[str, Sequence[str]]) -> str | None:
    """A paragraph on the finished trainings of a results folder that this run has to repeat.

    A training that was made by an earlier version of this project, or with other values of
    `snapshots` and `resume_points`, lacks files that are required now. Weights of earlier updates
    can only be made by training again.

    Parameters
    ----------
    results : path
        Folder of the run.
    outputs : mapping of training to paths
        The files of weights and states that every training should have.

    Returns
    -------
    str or None
        None if every finished training has all of its files.
    """
    lines = []
    for training, paths in outputs.items():
        missing = [path for path in paths if not Path(path).exists()]
        if missing and (results / "cubes" / f"{training}.nc").exists():
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            lines.append(f"  {training}: {missing[0]}{more}")
    if not lines:
        return None
    return "\n".join(
        [
            f"{results} was made by an earlier version, or with other snapshots or resume_points.",
            "These finished models lack weights from their training, so they are trained again:",
            *lines,
            "Other results that still fit the configuration are kept. To keep the models as they "
            "are, stop now and give this run another name (run: in the configuration).",
        ]
    )
