"""Before a run starts: does anything of an earlier one, or of another user's, still go on?"""

from __future__ import annotations

import atexit
from pathlib import Path

from . import slurm
from .files import UserError
from .ownership import Ownership, living_holder


def take_results(results: Path, states: list[Path], working_directory: Path) -> None:
    """Take a results folder for this process of Snakemake, until it ends.

    A Snakemake that was killed leaves its jobs behind. Were they planned a second time, the
    second one would remove what the first one wrote. So nothing starts while they are there.

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
        If another Snakemake works on the folder.
    UserError
        If jobs of an earlier run are still in Slurm's queue, or trainings go on; names them, and
        how to stop them.
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
