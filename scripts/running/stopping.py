"""When a training has to stop before its end: a signal, or the time limit of its job."""

from __future__ import annotations

import os
import signal
import threading
import time

# Seconds kept for saving before a job ends, beside what saving took so far.
_RESERVE = 30.0
_SAFETY = 3.0


class StopRequest:
    """Asked after every update whether to save and stop.

    On SIGTERM (Slurm's at the time limit, by scancel and before a requeue; Snakemake's), on the
    first Ctrl-C, and of its own accord shortly before the time limit: what is kept for saving is
    three times the longest pause between two questions so far, which is a save or a validation.

    Processes forked from this one, such as those that read batches, leave SIGTERM to it: a queue
    signals all processes of a job, and the last updates could not be saved without the readers.

    Parameters
    ----------
    seconds : float, optional
        Until the job of this process ends; None if that is not known or never.
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
            # A short job trains for half of its time at least.
            if left < min(_RESERVE + _SAFETY * self._longest, self._limit / 2):
                self.reason = f"its job ends in {max(left, 0):.0f} s"
        return bool(self.reason)

    def start(self) -> None:
        """Leave out what came before the first update: building the model takes its time."""
        self._asked = time.monotonic()

    def _ask(self, number: int, frame: object) -> None:
        self.reason = self.reason or f"it was asked to ({signal.Signals(number).name})"
        if number == signal.SIGINT:
            signal.signal(number, signal.default_int_handler)


def tries_left(updates_left: int, updates_made: int) -> int:
    """Further tries that a training needs when each makes as many updates as this one."""
    return -(-updates_left // max(updates_made, 1))


def _handled_here() -> bool:
    """Whether a StopRequest is in force, on a system that tells who sent a signal (not macOS)."""
    handler = signal.getsignal(signal.SIGTERM)
    asked = isinstance(getattr(handler, "__self__", None), StopRequest)
    return asked and hasattr(signal, "sigwaitinfo")


def _before_fork() -> None:
    """Let a signal that meets a new process at once wait until it can tell who sent it."""
    if _handled_here():
        # Blocked, not ignored: torch sets a handler of its own in processes that read.
        _mask.before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _after_fork_in_parent() -> None:
    if _handled_here():
        signal.pthread_sigmask(signal.SIG_SETMASK, _mask.before)


def _after_fork_in_child() -> None:
    """End by SIGTERM only where the parent sent it."""
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
