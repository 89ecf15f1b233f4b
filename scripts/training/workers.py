"""Several processes on one machine that share every update of a training.

fairseq's data parallelism: each worker processes its part of an update's micro-batches, gradients
are summed, and all workers make the same step. Only the first worker records, saves and writes.
"""

from __future__ import annotations

import logging
import os
import signal
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from common.files import UserError

# Seconds that the other workers have to end by themselves after one has failed.
GRACE = 10.0


class Worker:
    """One of the processes of a training; the default is a training in a single process.

    Parameters
    ----------
    rank, count : int
        Number of this process, from 0, and number of processes.
    meeting : path, optional
        A file that does not exist yet, through which the processes find each other.
    """

    def __init__(self, rank: int = 0, count: int = 1, meeting: Path | None = None):
        self.rank, self.count = rank, count
        self._meeting = meeting
        self._group = None

    @property
    def writes(self) -> bool:
        """Whether this process records, saves and writes results."""
        return self.rank == 0

    def join(self, device: str) -> None:
        """Wait for the other workers; on "cuda" each uses the GPU of its number."""
        if self.count == 1:
            return
        import torch
        from torch import distributed

        if device == "cuda":
            torch.cuda.set_device(self.rank)
        distributed.init_process_group(
            "nccl" if device == "cuda" else "gloo",
            init_method=f"file://{self._meeting}",
            rank=self.rank,
            world_size=self.count,
        )
        # A group on the CPU: agreeing to stop does not wait for the GPUs.
        self._group = distributed.new_group(backend="gloo")

    def agreed(self, stop: Callable[[], bool]) -> Callable[[], bool]:
        """Make `stop` return the same for all workers: True if it is True for any of them."""
        if self.count == 1:
            return stop
        import torch
        from torch import distributed

        def ask() -> bool:
            answer = torch.tensor([int(stop())])
            distributed.all_reduce(answer, distributed.ReduceOp.MAX, self._group)
            return bool(answer)

        return ask

    def leave(self) -> None:
        """Leave the process group when no communication remains."""
        if self.count > 1:
            from torch import distributed

            distributed.destroy_process_group()


def run_workers(count: int, arguments: Sequence[Any], further: Mapping[str, Any]) -> None:
    """Train a model with several workers: each runs `training.run.train_model`.

    The workers end when this process ends, for whatever reason; a signal to stop is passed on to
    all of them.

    Parameters
    ----------
    count : int
    arguments : sequence
        Arguments of `train_model` before `worker`.
    further : mapping
        Its arguments after `worker`, by name.

    Raises
    ------
    UserError
        With the message of the worker that failed first, or if a worker was killed.
    RuntimeError
        With the worker's traceback, if it failed by an unexpected error.
    """
    from torch.multiprocessing import start_processes

    with tempfile.TemporaryDirectory(prefix="losschange-workers-") as name:
        folder = Path(name)
        # Workers that are started like this get a signal to stop when this process dies.
        started = start_processes(_work, (count, folder, arguments, further), count, join=False)
        try:
            with _signals_handed_on(started.pids()):
                codes = _exit_codes(started.processes)
        finally:
            for process in started.processes:
                process.kill()
                process.join()
        _raise_first_failure(folder, codes)


def _work(
    rank: int, count: int, folder: Path, arguments: Sequence[Any], further: Mapping[str, Any]
) -> None:
    warnings.simplefilter("ignore")
    try:
        from .run import train_model

        logging.getLogger().setLevel(logging.WARNING)
        further = {**further, "worker": Worker(rank, count, folder / "meeting")}
        train_model(*arguments, **further)
        (folder / f"done-{rank}").touch()
    except (UserError, OSError) as error:
        if isinstance(error, OSError):
            traceback.print_exc()
        (folder / f"error-{rank}").write_text(str(error))
        raise SystemExit(1) from None
    except Exception:
        (folder / f"fault-{rank}").write_text(traceback.format_exc())
        raise SystemExit(1) from None


@contextmanager
def _signals_handed_on(processes: Sequence[int]) -> Iterator[None]:
    """Pass SIGTERM and the first Ctrl-C on to the processes, which then save and end."""

    def hand_on(number, frame):
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM)
        if number == signal.SIGINT:
            signal.signal(number, signal.default_int_handler)

    before = {number: signal.signal(number, hand_on) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _exit_codes(processes) -> list[int | None]:
    """Exit codes of the processes; None for processes that hang after another one failed."""
    # Snapshot the running processes: wait([]) would block.
    while running := [process for process in processes if process.exitcode is None]:
        wait([process.sentinel for process in running])
        if any(process.exitcode for process in processes):
            for process in processes:
                process.join(GRACE)
            break
    return [process.exitcode for process in processes]


def _raise_first_failure(folder: Path, codes: Sequence[int | None]) -> None:
    for rank, code in enumerate(codes):
        # Check this first: the other workers only report that they lost the killed one.
        if code is not None and code < 0:
            raise UserError(
                f"worker {rank + 1} of {len(codes)} was killed ({signal.Signals(-code).name}), so "
                "the others were ended. The last checkpoint is kept: run the same again. If memory "
                "ran out, ask for more (execution.memory)"
            )
    for kind, error in (("error", UserError), ("fault", RuntimeError)):
        found = sorted(folder.glob(f"{kind}-*"), key=lambda path: path.stat().st_mtime_ns)
        if found:
            raise error(found[0].read_text())
    if not all((folder / f"done-{rank}").exists() for rank in range(len(codes))):
        raise UserError("the training was ended before it was complete; run the same again")
