"""Stop a training before its end: at a signal, or before the time limit of its job."""

from __future__ import annotations

import os
import signal
import threading
import time

# Seconds reserved for saving before a job ends, in addition to the time that saving took so far.
_RESERVE = 30.0
_SAFETY = 3.0


class StopRequest:
    """Decides after every update whether to save and stop.

    The training stops on SIGTERM (sent by Snakemake, and by Slurm at the time limit, by scancel
    and before a requeue), on the first Ctrl-C, and shortly before the time limit. The time
    reserved for saving is three times the longest pause between two calls so far; the longest
    pauses are saves and validations.

    Processes forked from this one, such as data-loading processes, ignore SIGTERM unless this
    process sent it: a queue signals all processes of a job, but saving the last updates needs the
    data-loading processes.

    Parameters
    ----------
    seconds : float, optional
        Seconds until the job of this process ends; None if unknown or unlimited.
    """

    def __init__(self, seconds: float | None = None):
        self.reason = ""
        self._asked = self._start = time.monotonic()
        self._longest = 0.0
        self._limit = seconds
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGINT, self._ask)

    def __call__(self) -> bool:
        """Whether to save and stop now; `reason` says why."""
        now = time.monotonic()
        self._longest = max(self._longest, now - self._asked)
        self._asked = now
        if not self.reason and self._limit is not None:
            left = self._limit - (now - self._start)
            # A short job trains for at least half of its time.
            if left < min(_RESERVE + _SAFETY * self._longest, self._limit / 2):
                self.reason = f"its job ends in {max(left, 0):.0f} s"
        return bool(self.reason)

    def start(self) -> None:
        """Start measuring pauses at the first update: building the model takes long."""
        self._asked = time.monotonic()

    def _ask(self, number: int, frame: object) -> None:
        self.reason = self.reason or f"it was asked to ({signal.Signals(number).name})"
        if number == signal.SIGINT:
            signal.signal(number, signal.default_int_handler)


def tries_left(updates_left: int, updates_made: int) -> int:
    """Further tries that a training needs when each makes as many updates as this one."""
    return -(-updates_left // max(updates_made, 1))


def _handled_here() -> bool:
    """Whether a StopRequest is active and the system tells the sender of a signal (not macOS)."""
    handler = signal.getsignal(signal.SIGTERM)
    asked = isinstance(getattr(handler, "__self__", None), StopRequest)
    return asked and hasattr(signal, "sigwaitinfo")


def _before_fork() -> None:
    """Block SIGTERM during a fork, until the new process can check the sender of the signal."""
    if _handled_here():
        # Block the signal instead of ignoring it: torch installs its own handler in data loaders.
        _mask.before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _after_fork_in_parent() -> None:
    if _handled_here():
        signal.pthread_sigmask(signal.SIG_SETMASK, _mask.before)


def _after_fork_in_child() -> None:
    """End on SIGTERM only if the parent process sent it."""
    if not _handled_here():
        return
    parent = os.getppid()

    def wait_for_parent() -> None:
        while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
            pass
        os._exit(0)

    threading.Thread(target=wait_for_parent, daemon=True).start()


_mask = threading.local()
os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
