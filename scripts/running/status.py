"""The status of the trainings of a run, read only from files.

No lock is taken and no process is queried, so this works during a run, on any machine that can
read the files. Incomplete or invalid files are treated as missing.
"""

from __future__ import annotations

import json
import math
import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from common.files import replace_when_complete

from .ownership import LEASE, read_owner, runs_here

PLAN = "trainings.json"
OUTPUTS = ("cubes/{}.nc", "models/{}/checkpoint.pt", "models/{}/training.csv")
# Bytes read at the end of a file: enough for the last updates of a history, or for an error.
TAIL_BYTES = 65536
ERROR_LINES = 6
# Every training is a rule of its own, named after the model (rules/models.smk).
_SUBMITTED = re.compile(r"SLURM jobid (\d+) \(log: (\S*/rule_train_model_(\w+)/[^/]+\.log)\)")
_CHECKPOINT = re.compile(r"checkpoint_(\d+)\.pt")
_STOPPED = re.compile(r"was stopped at update \d+ of")


@dataclass(frozen=True)
class TrainingStatus:
    """The status of one training.

    Attributes
    ----------
    name : str
    state : str
        "waiting" (it has no files yet), "queued" (its Slurm job has not started), "starting",
        "running", "stopped" (the next try resumes at `update`), "failed" or "done".
    update, total : int or None
    loss : float or None
        Nats per target token in the last reported update.
    tokens_per_second, seconds_left : float or None
    place : str
        Host, and job or process, that trains the model or trained it last.
    error : tuple of str
        Last lines of its log, if it failed.
    """

    name: str
    state: str
    update: int | None = None
    total: int | None = None
    loss: float | None = None
    tokens_per_second: float | None = None
    seconds_left: float | None = None
    place: str = ""
    error: tuple[str, ...] = ()


def write_plan(results: Path, totals: Mapping[str, int]) -> None:
    """Save the trainings of a run and their numbers of updates, for `training_statuses`."""
    with replace_when_complete(results / "models" / PLAN) as temporary:
        temporary.write_text(json.dumps(dict(totals), indent=1) + "\n")


def training_statuses(results: Path, logs: Path | None = None) -> list[TrainingStatus]:
    """Status of all trainings of a run: of planned ones, and of others that have files.

    Parameters
    ----------
    results : path
        Such as results/demo.
    logs : path, optional
        Folder of Snakemake's own logs, for the jobs that are queued; by default its usual folder.
    """
    planned = {
        name: total
        for name, total in _read_json(results / "models" / PLAN).items()
        if isinstance(total, int)
    }
    folders = [path.name for path in results.glob("models/*") if path.is_dir()]
    queued = _queued_jobs(
        results.absolute().parents[1] / ".snakemake/log" if logs is None else logs
    )
    names = [*planned, *sorted(set(folders) - set(planned))]
    return [
        _training_status(
            results, name, planned.get(name), queued.get(re.sub("[^a-zA-Z0-9]", "_", name))
        )
        for name in names
    ]


def _training_status(
    results: Path, name: str, total: int | None, job: str | None
) -> TrainingStatus:
    if all((results / output.format(name)).is_file() for output in OUTPUTS):
        return _done(name, total, results / "models" / name / "training.csv")
    state = results / "models" / name / "state"
    owner, progress = read_owner(state), _read_json(state / "progress.json")
    planned = _read_json(state / "fingerprint.json")
    total = total or _count(progress, "total") or _count(planned, "total_updates")
    place = _place(owner)
    saved = _saved_update(state)
    if _lives(state, owner):
        age = _age(state / "progress.json")
        # Progress older than this owner is from an earlier try: ignore it.
        if age is None or age > (_age(state / "owner.json") or 0.0):
            return TrainingStatus(name, "starting", saved, total, place=place)
        left = _number(progress, "seconds_left")
        return TrainingStatus(
            name,
            "running",
            _count(progress, "update"),
            total,
            _number(progress, "loss"),
            _number(progress, "tokens_per_second"),
            None if left is None else max(left - age, 0.0),
            place,
        )
    if job:
        return TrainingStatus(name, "queued", saved, total, place=f"job {job}")
    said = [line for line in _tail(results / "logs" / "train_model" / f"{name}.log") if line]
    if any(line.startswith(("error:", "Traceback")) for line in said[-200:]):
        if not _STOPPED.search(said[-1]):
            return TrainingStatus(
                name, "failed", saved, total, place=place, error=_last_words(said)
            )
    elif saved is None and not state.is_dir():
        return TrainingStatus(name, "waiting", None, total)
    return TrainingStatus(name, "stopped", saved, total, place=place)


def _done(name: str, total: int | None, history: Path) -> TrainingStatus:
    rows = [line.split(",") for line in _tail(history)]
    rows = [row for row in rows if len(row) == 4 and row[0].isdigit()]
    try:
        tokens, seconds = (sum(float(row[column]) for row in rows) for column in (2, 3))
        update, loss = int(rows[-1][0]), float(rows[-1][1])
    except (ValueError, IndexError):
        return TrainingStatus(name, "done", total, total)
    speed = tokens / seconds if seconds else None
    return TrainingStatus(name, "done", update, total or update, loss, speed)


def _last_words(lines: list[str]) -> tuple[str, ...]:
    """The last error in a log, without the progress lines before it."""
    starts = [n for n, line in enumerate(lines) if line.startswith(("error:", "Traceback"))]
    return tuple(lines[starts[-1] :][-ERROR_LINES:])


def _lives(state: Path, owner: Mapping[str, object]) -> bool:
    """Whether the owner of a folder still runs, as far as this machine can tell."""
    process = owner.get("process")
    if not isinstance(process, int):
        return False
    if owner.get("host") == socket.gethostname():
        return runs_here(dict(owner))
    age = _age(state.with_name(f"{state.name}.lock"))
    return age is not None and age < LEASE


def _place(owner: Mapping[str, object]) -> str:
    if not owner:
        return ""
    number = f"job {owner['job']}" if owner.get("job") else f"process {owner.get('process')}"
    return f"{owner.get('host')}, {number}"


def _saved_update(state: Path) -> int | None:
    found = [_CHECKPOINT.fullmatch(path.name) for path in state.glob("checkpoints/*.pt")]
    return max((int(match[1]) for match in found if match), default=None)


def _queued_jobs(logs: Path) -> dict[str, str]:
    """Jobs of Slurm that the newest run of Snakemake submitted and that have not begun.

    The keys are names of models as they occur in names of rules, such as clm_en for clm-en.
    """
    newest = max(logs.glob("*.snakemake.log"), key=_modified, default=None)
    if newest is None:
        return {}
    found = {}
    for number, log, name in _SUBMITTED.findall(_text(newest)):
        found[name] = number
        # Slurm creates the log file when the job starts.
        if Path(log).exists():
            del found[name]
    return found


def _read_json(path: Path) -> dict:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _number(values: Mapping[str, object], name: str) -> float | None:
    value = values.get(name)
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return cast(float, value) if good else None


def _count(values: Mapping[str, object], name: str) -> int | None:
    value = _number(values, name)
    return None if value is None else int(value)


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _age(path: Path) -> float | None:
    """Seconds since a file was written; None if it does not exist."""
    modified = _modified(path)
    return time.time() - modified if modified else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _tail(path: Path) -> list[str]:
    """Lines at the end of a file; the first line may be incomplete."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            return file.read().decode("utf-8", errors="replace").splitlines()
    except OSError:
        return []
