"""Run the stages in a process of their own; if it dies, run the remaining ones in another.

The supervising process imports neither PyTorch nor fairseq, so that no result is lost if the driver
or a compiler crashes or memory runs out.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from .clock import Clock
from .results import BEGUN, CUT, ENDED, Record, ResultLog, ended_stages, running_stage
from .table import write_table

# A stage ends itself at its limit. If it takes longer than PATIENCE times its limit and GRACE
# seconds, it hangs.
PATIENCE, GRACE = 1.1, 10.0
POLL = 0.2
STOPPING = (signal.SIGTERM, signal.SIGINT)


def supervise(names: Sequence[str], budget: float, out: Path, work: Callable[..., None]) -> None:
    """Run stages until all have ended or the budget is spent.

    Parameters
    ----------
    names : sequence of str
    budget : float
        Seconds.
    out : path
        Folder of the results. Stages that ended there before are not run again; one that was cut
        is.
    work : callable (names, Clock, allow)
        Runs stages in this process, as stages.run_stages does.
    """
    log, whole = ResultLog(out), Clock.of(budget)
    handlers = {number: signal.signal(number, _stop) for number in STOPPING}
    process = None
    try:
        while names := [name for name in names if name not in ended_stages(log.read())]:
            if whole.left() <= 0:
                _leave_out(log, names)
                break
            process, allowed = _start(work, names, whole)
            _watch(process, allowed, log, out)
            if process.exitcode == 0:
                break
            died = f"its process ended with status {process.exitcode}"
            if not _end_running(log, died) and not _ended_now(log, names):
                log.add("start", "failed", reason=f"{died} before the first stage")
                break
    except _Stopped as stopped:
        _kill(process)
        log.add(running_stage(log.read()) or "start", CUT, reason=f"cut by {stopped}")
        raise SystemExit(128 + stopped.number) from None
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        _kill(process)
        _show(out, log.read())


class _Stopped(BaseException):
    """The check was asked to stop."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.number = number


def _stop(number: int, frame: object) -> None:
    signal.signal(number, signal.SIG_IGN)
    raise _Stopped(number)


def _start(work, names, whole):
    """A process that runs the stages, and the time until which its present stage may run."""
    context = multiprocessing.get_context("fork")
    allowed = context.Value("d", time.monotonic() + max(whole.left(), 0) + GRACE)
    process = context.Process(target=_work, args=(work, names, whole, allowed))
    process.start()
    return process, allowed


def _work(work, names, whole, allowed) -> None:
    for number in STOPPING:
        signal.signal(number, signal.SIG_DFL)
    Clock.watcher = os.getppid()

    def allow(seconds: float) -> None:
        allowed.value = time.monotonic() + seconds * PATIENCE + GRACE

    work(names, whole, allow)


def _watch(process, allowed, log: ResultLog, out: Path) -> None:
    """Wait until the process ends, or kill it if its stage hangs; write the table after stages."""
    written = 0
    while process.is_alive():
        process.join(POLL)
        records = log.read()
        if len(ended_stages(records)) != written:
            written = len(ended_stages(records))
            _show(out, records)
        if time.monotonic() > allowed.value and process.is_alive():
            _kill(process)
            _end_running(log, "killed, because it did not end at its limit")


def _show(out: Path, records: list[Record]) -> None:
    """Write the table; an error in it must not end the stages."""
    try:
        write_table(out, records)
    except Exception:
        traceback.print_exc()


def _kill(process) -> None:
    if process is not None and process.is_alive():
        process.kill()
        process.join()


def _leave_out(log: ResultLog, names: Sequence[str]) -> None:
    for name in names:
        log.add(name, BEGUN, limit=0.0)
        log.add(name, ENDED, seconds=0.0, reason="no time was left")


def _end_running(log: ResultLog, reason: str) -> bool:
    """Record the end of a stage that did not do so itself; return whether there is one."""
    running = running_stage(log.read())
    if running is None:
        return False
    log.add(running, ENDED, seconds=None, reason=reason)
    return True


def _ended_now(log: ResultLog, names: Sequence[str]) -> bool:
    """Whether one of the stages has ended."""
    return bool(ended_stages(log.read()) & set(names))
