"""The right to write to a folder: one process at a time, on any machine that sees it.

A file beside the folder names who holds it and is renewed while its process lives. Not a lock of
the operating system: those of many shared file systems end at the machine's border.
"""

from __future__ import annotations

import getpass
import json
import os
import secrets
import socket
from contextlib import suppress
from pathlib import Path

import psutil
from filelock import SoftFileLease, Timeout

from . import slurm
from .files import UserError, replace_when_complete

LEASE = 90.0  # seconds without renewal until a holder on another machine counts as dead
_MOMENT = 0.5  # seconds, enough to take over from a process of this machine that is dead


# Seconds that the start of one process may differ by between two looks at it.
SAME_START = 2.0


class HeldError(UserError):
    """Another process holds the folder."""


class Ownership:
    """The folder belongs to this process from `acquire` to `release`, or until it ends.

    Parameters
    ----------
    folder : path
        The file `<folder>.lock` beside it says that it is held, `owner.json` in it by whom.
    doing : str
        What its holder does, for the message, such as "is training this model".
    """

    def __init__(self, folder: Path, doing: str):
        self.folder, self.doing = folder, doing
        self._lease = SoftFileLease(
            folder.with_name(f"{folder.name}.lock"), lease_duration=LEASE, thread_local=False
        )
        self._token = secrets.token_hex(8)

    def acquire(self) -> None:
        """Take the folder, from a dead holder too.

        A holder on another machine is dead when Slurm no longer has its job, or there is none,
        and when it was not renewed for `LEASE` seconds.

        Raises
        ------
        HeldError
            If a living process holds it; names host, process and job, and how to stop it.
        """
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lease.acquire(timeout=_MOMENT, poll_interval=_MOMENT / 10)
        except Timeout:
            holder = living_holder(self.folder)
            if holder is None:
                try:
                    self._lease.acquire(timeout=1.2 * LEASE, poll_interval=1.0)
                except Timeout:
                    holder = describe(read_owner(self.folder))
            if holder is not None:
                raise HeldError(f"{self.folder}: {holder} {self.doing}. {_advice(self)}") from None
        self.folder.mkdir(parents=True, exist_ok=True)
        owner = {
            "host": socket.gethostname(),
            "process": os.getpid(),
            "started": start_time(os.getpid()),
            "job": slurm.own_job(),
            "user": _user(),
            "token": self._token,
        }
        with replace_when_complete(self.folder / "owner.json") as temporary:
            temporary.write_text(json.dumps(owner))

    @property
    def lost(self) -> bool:
        """Whether another process took the folder over."""
        return self._lease.compromise is not None

    def check(self) -> None:
        """Make sure that the folder is still this process's, before writing to it.

        Raises
        ------
        HeldError
            If another process took it over, because this one seemed dead.
        """
        owner = read_owner(self.folder)
        if self.lost or owner.get("token") != self._token:
            raise HeldError(
                f"{self.folder}: {describe(owner)} took over, because this process showed no life "
                f"for {LEASE:.0f} s. Nothing more was written; the other one goes on"
            )

    def release(self) -> None:
        """Give the folder back."""
        if self._lease.is_locked and read_owner(self.folder).get("token") == self._token:
            (self.folder / "owner.json").unlink(missing_ok=True)
            with suppress(OSError):  # as a rule it holds what the process did
                self.folder.rmdir()
        self._lease.release()


def read_owner(folder: Path) -> dict:
    """What owner.json in a held folder says: host, process, job, user; empty if there is none."""
    try:
        owner = json.loads((folder / "owner.json").read_text())
    except (OSError, ValueError):
        return {}
    return owner if isinstance(owner, dict) else {}


def describe(owner: dict) -> str:
    """A holder in words."""
    if not owner:
        return "another process"
    job = f", Slurm job {owner['job']}" if owner.get("job") else ""
    return f"process {owner.get('process')} of {owner.get('user')} on {owner.get('host')}{job}"


def living_holder(folder: Path) -> str | None:
    """Who holds a folder and certainly lives, in words; None if nobody, or if that is unknown."""
    owner = read_owner(folder)
    if owner.get("host") == socket.gethostname():
        return describe(owner) if runs_here(owner) else None
    if owner.get("job") and owner["job"] != slurm.own_job():
        state = slurm.job_state(owner["job"])
        if state in slurm.ACTIVE_STATES:
            return f"{describe(owner)} ({state})"
    return None


def _advice(ownership: Ownership) -> str:
    owner = read_owner(ownership.folder)
    if owner.get("job"):
        stop = f"scancel {owner['job']}"
    elif owner:
        stop = f"kill {owner['process']}, on {owner['host']}"
    else:
        return f"If none does, remove {ownership.folder}.lock"
    return f"Wait until it ends, or stop it: {stop}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account that this machine has no name for
        return str(os.getuid())


def start_time(process: int) -> float | None:
    """When a process of this machine started, in seconds since 1970; None if there is none."""
    try:
        return psutil.Process(process).create_time()
    except psutil.Error:
        return None


def runs_here(owner: dict) -> bool:
    """Whether the process that an owner.json names still runs on this machine.

    Numbers of processes are used again, so one that started at another time is another process.
    """
    number = owner.get("process")
    started = start_time(number) if isinstance(number, int) else None
    if started is None:
        return False
    noted = owner.get("started")
    return noted is None or abs(started - noted) < SAME_START
