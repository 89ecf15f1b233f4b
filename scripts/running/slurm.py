"""Query Slurm about jobs; all functions also work on machines without Slurm."""

from __future__ import annotations

import os
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

# States in which processes of a job may still write files.
ACTIVE_STATES = {
    "RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "CONFIGURING", "SIGNALING", "STAGE_OUT",
    "RESIZING",
}  # fmt: skip
GONE = "GONE"
_PATIENCE = 30.0  # seconds to wait for an answer of Slurm


@dataclass(frozen=True)
class Job:
    """A job in the queue that an executor of Snakemake submitted."""

    number: str
    state: str
    comment: str

    def __str__(self) -> str:
        what = self.comment.removeprefix("rule_").replace("_wildcards_", " ").strip()
        return f"job {self.number} ({self.state}): {what}"


def own_job() -> str | None:
    """Number of the Slurm job that this process belongs to."""
    return os.environ.get("SLURM_JOB_ID")


def job_state(number: str) -> str | None:
    """State of a job, such as RUNNING.

    Returns
    -------
    str or None
        `GONE` if the job is no longer in Slurm's queue, None if Slurm does not answer.
    """
    done = _ask("squeue", "--noheader", f"--jobs={number}", "--format=%T")
    if done is None:
        return None
    if done.returncode != 0:
        return GONE if "Invalid job id" in done.stderr else None
    return done.stdout.split()[0] if done.stdout.split() else GONE


def seconds_left() -> float | None:
    """Seconds until the time limit of this process's job; None without a job or a limit."""
    number = own_job()
    if number is None:
        return None
    if os.environ.get("SLURM_JOB_END_TIME", "").isdigit():  # Slurm 23.02 and later
        return float(os.environ["SLURM_JOB_END_TIME"]) - time.time()
    done = _ask("squeue", "--noheader", f"--jobs={number}", "--format=%L")
    return None if done is None else parse_duration(done.stdout.strip())


def parse_duration(text: str) -> float | None:
    """Seconds of Slurm's [days-][hours:]minutes:seconds; None for UNLIMITED and the like."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text)
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def jobs_of_folder(folder: Path) -> list[Job]:
    """Jobs of this user in the queue that Snakemake submitted from a working directory."""
    done = _ask("squeue", "--noheader", "--me", "--format=%i\t%T\t%k\t%Z")
    lines = [] if done is None else [line.split("\t") for line in done.stdout.splitlines()]
    return [
        Job(*fields[:3])
        for fields in lines
        if len(fields) == 4
        and fields[2].startswith(("rule_", "group_"))
        and Path(fields[3]).resolve() == folder.resolve()
    ]


def _ask(*command: str) -> subprocess.CompletedProcess | None:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return None
