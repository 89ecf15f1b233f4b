"""A progress line of a training."""

from __future__ import annotations

import sys
import time
from typing import TextIO


class ProgressLine:
    """Update, loss, tokens per second and time left, on one line.

    On a terminal the line is overwritten; in a log file, new lines are written at intervals.

    Parameters
    ----------
    name : str
        Name of the model.
    total : int
        Updates of the whole training.
    done : int
        Updates made before this process started.
    """

    def __init__(self, name: str, total: int, done: int, stream: TextIO = sys.stderr):
        self.name, self.total, self.done, self.stream = name, total, done, stream
        self._pause = 0.5 if stream.isatty() else 20.0
        self._start = self._shown = time.monotonic()
        self._tokens = 0

    def advance(self, update: int, loss: float, tokens: int) -> dict | None:
        """Count one update; return the numbers shown, or None if it is too early to show them."""
        self._tokens += tokens
        now = time.monotonic()
        if now - self._shown < self._pause and update < self.total:
            return None
        self._shown = now
        elapsed = max(now - self._start, 1e-9)
        numbers = {
            "model": self.name,
            "update": update,
            "total": self.total,
            "loss": loss,
            "tokens_per_second": self._tokens / elapsed,
            "seconds_left": elapsed / (update - self.done) * (self.total - update),
        }
        self._show(numbers)
        return numbers

    def _show(self, numbers: dict) -> None:
        minutes, seconds = divmod(round(numbers["seconds_left"]), 60)
        hours, minutes = divmod(minutes, 60)
        line = (
            f"{self.name}: update {numbers['update']:,}/{self.total:,}, "
            f"loss {numbers['loss']:.3f} nats, {numbers['tokens_per_second']:,.0f} tokens/s, "
            f"{hours}:{minutes:02}:{seconds:02} left"
        )
        if self.stream.isatty():
            end = "\n" if numbers["update"] == self.total else ""
            self.stream.write(f"\r\x1b[K{line}{end}")
        else:
            self.stream.write(line + "\n")
        self.stream.flush()
