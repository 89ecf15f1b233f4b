"""A temporary folder for incomplete files, used by one process at a time."""

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from common.files import UserError, full_disk_explained

NAME = ".incomplete"


@contextmanager
def workplace(folder: Path) -> Iterator[Path]:
    """Yield an empty hidden folder inside `folder`, on the same disk; it is removed at the end.

    Files left by a killed process are removed first.

    Raises
    ------
    UserError
        If another process uses the folder, or the disk is full.
    """
    place = folder / NAME
    place.mkdir(parents=True, exist_ok=True)
    owner, lock = place / "owner", filelock.FileLock(place / "lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        name = owner.read_text(encoding="utf-8") if owner.exists() else "another process"
        raise UserError(
            f"{folder}: {name} is making these files now. Wait until it ends, or stop it."
        ) from None
    try:
        with full_disk_explained(folder):
            for path in place.iterdir():
                if path.name != "lock":
                    path.unlink()
            owner.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
            yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
        lock.release()
