"""A lock on a folder: one process at a time may write, among all machines that share the folder.

A lock file beside the folder is renewed while the owner's process runs. Locks of the operating
system are not used: on many shared file systems they apply to one machine only.
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

from common.files import UserError, replace_when_complete

from . import slurm

LEASE = 90.0  # seconds without renewal until a holder on another machine counts as dead
_MOMENT = 0.5  # seconds, enough to take over from a process of this machine that is dead
# Seconds by which two readings of the same process's start time may differ.
SAME_START = 2.0


class HeldError(UserError):
    """Another process owns the folder."""


class Ownership:
    """This process owns the folder from `acquire` to `release`, or until the process ends.

    Parameters
    ----------
    folder : path
        `<folder>.lock` beside it is the lock file; `owner.json` in the folder describes the owner.
    doing : str
        The owner's activity, for error messages, such as "is training this model".
    """

    def __init__(self, folder: Path, doing: str):
        self.folder, self.doing = folder, doing
        self._lease = SoftFileLease(
            folder.with_name(f"{folder.name}.lock"), lease_duration=LEASE, thread_local=False
        )
        self._token = secrets.token_hex(8)

    def acquire(self) -> None:
        """Become the owner of the folder, also if the previous owner died.

        An owner on another machine counts as dead if it has no running Slurm job and did not
        renew its lock for `LEASE` seconds.

        Raises
        ------
        HeldError
            If a running process owns it; names host, process and job, and says how to stop it.
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
        """Check before writing that this process still owns the folder.

        Raises
        ------
        HeldError
            If another process took the folder over because this one did not renew its lock.
        """
        owner = read_owner(self.folder)
        if self.lost or owner.get("token") != self._token:
            raise HeldError(
                f"{self.folder}: {describe(owner)} took over, because this process did not renew "
                f"its lock for {LEASE:.0f} s. Nothing more was written; the other one goes on"
            )

    def release(self) -> None:
        """Give the folder back."""
        if self._lease.is_locked and read_owner(self.folder).get("token") == self._token:
            (self.folder / "owner.json").unlink(missing_ok=True)
            with suppress(OSError):  # usually not empty
                self.folder.rmdir()
        self._lease.release()


def read_owner(folder: Path) -> dict:
    """The owner's host, process, job and user from owner.json; empty if there is no such file."""
    try:
        owner = json.loads((folder / "owner.json").read_text())
    except (OSError, ValueError):
        return {}
    return owner if isinstance(owner, dict) else {}


def describe(owner: dict) -> str:
    """Description of an owner for messages."""
    if not owner:
        return "another process"
    job = f", Slurm job {owner['job']}" if owner.get("job") else ""
    return f"process {owner.get('process')} of {owner.get('user')} on {owner.get('host')}{job}"


def living_holder(folder: Path) -> str | None:
    """Description of a folder's owner if it is certain that its process runs; None otherwise."""
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
    """When a process of this machine started, in seconds since 1970; None if none runs.

    A zombie has ended: it waits for its parent to ask how, which in a container may never happen.
    """
    try:
        found = psutil.Process(process)
        return None if found.status() == psutil.STATUS_ZOMBIE else found.create_time()
    except psutil.Error:
        return None


def runs_here(owner: dict) -> bool:
    """Whether the process that an owner.json names still runs on this machine.

    Process numbers are reused: a process with another start time is not the owner.
    """
    number = owner.get("process")
    started = start_time(number) if isinstance(number, int) else None
    if started is None:
        return False
    noted = owner.get("started")
    return noted is None or abs(started - noted) < SAME_START
