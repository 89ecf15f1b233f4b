"""Time limits of stages and of their parts, inside one process."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

PAUSE = 0.05  # seconds until the limit is checked again during an import

# Seconds after which OutOfTime is raised once more in code that did not end.
AGAIN = 5.0


class OutOfTime(BaseException):
    """A limit was reached.

    Not an Exception: compilers and data loaders catch those of the code that they run.
    """


class Clock:
    """A time limit on the monotonic clock.

    Parameters
    ----------
    end : float
        Seconds of `time.monotonic`.
    """

    watcher: int | None = None  # the process that started this one
    _armed: float | None = None

    def __init__(self, end: float):
        self.end = end

    @classmethod
    def of(cls, seconds: float) -> Clock:
        """The limit that is `seconds` from now."""
        return cls(time.monotonic() + seconds)

    def left(self) -> float:
        """Seconds until the limit; negative after it."""
        return self.end - time.monotonic()

    def part(self, seconds: float) -> Clock:
        """The limit of a part: `seconds` from now, but not after this limit."""
        return Clock(min(time.monotonic() + seconds, self.end))

    def check(self) -> None:
        """Call between two updates.

        Raises
        ------
        OutOfTime
            After the limit.
        SystemExit
            If the process that started this one has ended, so that the results are not needed.
        """
        if Clock.watcher not in (None, os.getppid()):
            raise SystemExit("the process that watched this one has ended")
        if self.left() <= 0:
            raise OutOfTime

    @contextmanager
    def enforced(self) -> Iterator[None]:
        """Raise OutOfTime at the limit, wherever the main thread is in Python code.

        For code that cannot call `check`, such as a compiler. Limits may be nested.
        """
        before = Clock._armed
        signal.signal(signal.SIGALRM, _raise_out_of_time)
        self._arm(self.end)
        try:
            yield
        finally:
            self._arm(before)

    @staticmethod
    def _arm(end: float | None) -> None:
        Clock._armed = end
        seconds = 0.0 if end is None else max(end - time.monotonic(), 0.001)
        # Repeat it: an error that is raised inside a __del__ method is lost.
        signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN if seconds else 0.0)


def _raise_out_of_time(number: int, frame: FrameType | None) -> None:
    if _imports(frame):
        # An interrupted import leaves an incomplete module, which breaks all later code.
        signal.setitimer(signal.ITIMER_REAL, PAUSE)
        return
    raise OutOfTime


def _imports(frame: FrameType | None) -> bool:
    """Whether a frame runs within an import."""
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False
