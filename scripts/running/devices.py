"""Assign GPUs of a machine to processes: Snakemake counts GPUs but does not choose them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from common.files import UserError

VISIBLE = "CUDA_VISIBLE_DEVICES"
_PAUSE = 1.0  # seconds between two checks for a free device


@contextmanager
def claimed_devices(count: int, folder: Path | None = None) -> Iterator[str | None]:
    """Make `count` GPUs that no other process has claimed visible to this process and its children.

    Under Slurm these are the GPUs of the job. Elsewhere the first free GPUs among those in
    CUDA_VISIBLE_DEVICES, or among all GPUs, are claimed. A claim ends with its process. Waits
    while too few GPUs are free. Call this function before CUDA is used.

    Parameters
    ----------
    count : int
        With 0 nothing is changed.
    folder : path, optional
        Folder of the locks; by default one per user and machine.

    Yields
    ------
    str or None
        Value of CUDA_VISIBLE_DEVICES in the block; None if it is not set.

    Raises
    ------
    UserError
        If this process may use some GPUs, but fewer than `count`.
    """
    names = [] if count == 0 or "SLURM_JOB_ID" in os.environ else visible_devices()
    if not names:
        yield os.environ.get(VISIBLE)
        return
    if len(names) < count:
        raise UserError(
            f"{count} GPUs are asked for, but only {', '.join(names)} can be seen; lower "
            f"execution.gpus, or see {VISIBLE}"
        )
    folder = folder or _lock_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    before = os.environ.get(VISIBLE)
    with ExitStack() as claims:
        os.environ[VISIBLE] = ",".join(_claim(names, count, folder, claims))
        try:
            yield os.environ[VISIBLE]
        finally:
            if before is None:
                del os.environ[VISIBLE]
            else:
                os.environ[VISIBLE] = before


def visible_devices() -> list[str]:
    """Names of the GPUs that this process may use.

    A GPU's name is its UUID, even if CUDA_VISIBLE_DEVICES gives a number or the beginning of a
    UUID. Devices that nvidia-smi does not list, such as parts of a GPU, keep the name given there.
    """
    uuids = _uuids()
    if VISIBLE not in os.environ:
        return list(uuids.values())
    given = [name.strip() for name in os.environ[VISIBLE].split(",") if name.strip()]
    return [_uuid_of(name, uuids) for name in given]


def _uuids() -> dict[str, str]:
    """UUIDs of this machine's GPUs by number, as nvidia-smi lists them."""
    if shutil.which("nvidia-smi") is None:
        return {}
    query = ["nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True)
    lines = done.stdout.splitlines() if done.returncode == 0 else []
    return dict([part.strip() for part in line.split(",", 1)] for line in lines if "," in line)


def _uuid_of(name: str, uuids: dict[str, str]) -> str:
    if name in uuids:
        return uuids[name]
    found = [uuid for uuid in uuids.values() if uuid.startswith(name)]
    return found[0] if len(found) == 1 else name


def _claim(names: list[str], count: int, folder: Path, claims: ExitStack) -> list[str]:
    said = False
    while True:
        with ExitStack() as attempt:
            mine = []
            for name in names:
                # Forked processes do not inherit the lock: only this process holds the claim.
                lock = FileLock(folder / f"{name.replace('/', '_')}.lock")
                try:
                    attempt.enter_context(lock.acquire(timeout=0))
                except Timeout:
                    continue
                mine.append(name)
                if len(mine) == count:
                    claims.enter_context(attempt.pop_all())
                    return mine
        if not said:
            print(
                f"Waiting for {count} free of the GPUs {', '.join(names)}: others have claimed "
                "them. How many run at once is gpu in the profile's resources",
                file=sys.stderr,
                flush=True,
            )
            said = True
        time.sleep(_PAUSE)


def _lock_folder() -> Path:
    base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    return Path(base) / f"losschange-gpus-{os.getuid()}"
