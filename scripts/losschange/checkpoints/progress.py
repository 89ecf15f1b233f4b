"""Progress lines of a recording from checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable

from .quadrature import Integral
from .series import Checkpoint


class Progress:
    """Reports what was done, and the time left.

    Parameters
    ----------
    tell : callable (line) or None
    """

    def __init__(self, tell: Callable[[str], None] | None):
        self._tell = tell or (lambda line: None)
        self._start = time.monotonic()
        self._done = self._todo = 0

    def begin(self, todo: int, intervals: int) -> None:
        """Report how many intervals are still to be recorded."""
        self._todo = todo
        kept = f", {intervals - todo} of them recorded before" if todo < intervals else ""
        self._tell(f"{intervals} intervals{kept}")

    def tell(
        self,
        pair: tuple[Checkpoint, Checkpoint],
        name: str,
        change: float,
        whole: Integral,
        tolerance: float,
    ) -> None:
        """Report the result of one text in one interval."""
        start, end = pair
        error = float(whole.cells.sum()) - change
        beyond = "" if whole.missed <= tolerance else f"; tolerance of {tolerance:g} not reached"
        self._tell(
            f"updates {start.update} to {end.update}, {name}: loss change {change:+.5f} nats, "
            f"error {error:+.1e}, {whole.evaluations + 1} evaluations{beyond}"
        )

    def end_interval(self) -> None:
        """Report the time left, estimated from the intervals so far."""
        self._done += 1
        if self._done < self._todo:
            seconds = (time.monotonic() - self._start) / self._done * (self._todo - self._done)
            minutes, seconds = divmod(round(seconds), 60)
            self._tell(f"{self._done} of {self._todo} done, about {minutes}:{seconds:02d} left")
