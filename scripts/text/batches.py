"""Process batches in several processes and return the results in the order of the batches."""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from multiprocessing import get_context, parent_process
from typing import TypeVar

from common.files import UserError

Batch = TypeVar("Batch")
Result = TypeVar("Result")


def map_in_order(
    function: Callable[[Batch], Result], batches: Iterable[Batch], processes: int
) -> Iterator[Result]:
    """Yield `function(batch)` for every batch, in order; the same for any number of processes.

    Parameters
    ----------
    function
        Must be picklable, like the batches and the results.
    batches
        Read in this process, only a few batches ahead of the yielded results.
    processes
        Number of processes that work on batches, in addition to this one. With 1, or for a single
        batch, this process does the work.

    Raises
    ------
    UserError
        If a process was killed, for example because memory ran out.
    """
    batches = iter(batches)
    first = list(islice(batches, 2))
    batches = chain(first, batches)
    if processes < 2 or len(first) < 2:
        yield from map(function, batches)
        return
    # A new interpreter does not inherit this process's locks and open files.
    executor = ProcessPoolExecutor(processes, get_context("spawn"), _start_worker)
    try:
        waiting = deque(
            executor.submit(function, batch) for batch in islice(batches, 2 * processes + 1)
        )
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(executor.submit(function, batch) for batch in islice(batches, 1))
            yield result
    except BrokenProcessPool as error:
        raise UserError(
            "a process that cleans text was ended from outside, perhaps because memory is short. "
            "Run the same again with fewer processes, or free some memory."
        ) from error
    finally:
        executor.shutdown(cancel_futures=True)


def _start_worker() -> None:
    """Ignore Ctrl-C, which the parent process handles; end when the parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := parent_process():
        parent.join()
    os._exit(1)
