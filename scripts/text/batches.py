"""Work on batches in several processes, with the results in the order of the batches."""

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

from running.files import UserError

Batch = TypeVar("Batch")
Result = TypeVar("Result")


def map_in_order(
    function: Callable[[Batch], Result], batches: Iterable[Batch], processes: int
) -> Iterator[Result]:
    """Yield `function(batch)` for every batch, in order; the same for any number of processes.

    Parameters
    ----------
    function
        Something that can be sent to another process, as the batches and results can.
    batches
        Read here, only a few ahead of what is yielded.
    processes
        How many work on the batches, besides this one. With 1, or for a single batch, the work is
        done here.

    Raises
    ------
    UserError
        When a process was ended from outside, as happens where memory is short.
    """
    batches = iter(batches)
    first = list(islice(batches, 2))
    batches = chain(first, batches)
    if processes < 2 or len(first) < 2:
        yield from map(function, batches)
        return
    # A fresh interpreter has none of this one's locks and open files.
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
    """Leave interrupts to the first process, and end with it however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent_process().join()
    os._exit(1)
