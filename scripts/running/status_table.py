"""The status of trainings as a plain-text table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tabulate import tabulate

from .status import TrainingStatus

COLUMNS = ("model", "state", "update", "of", "loss (nats)", "tokens/s", "time left", "where")
ALIGNMENT = ("left", "left", *["right"] * 5, "left")


def status_table(found: Sequence[TrainingStatus]) -> str:
    """A line per training, the number of trainings in each state, and errors of failed ones."""
    rows = [
        [
            one.name,
            one.state,
            _whole(one.update),
            _whole(one.total),
            "" if one.loss is None else f"{one.loss:.3f}",
            _whole(one.tokens_per_second),
            _clock(one.seconds_left),
            one.place,
        ]
        for one in found
    ]
    counts = Counter(one.state for one in found)
    parts = [
        tabulate(rows, headers=COLUMNS, disable_numparse=True, colalign=ALIGNMENT),
        ", ".join(f"{number} {state}" for state, number in counts.items()),
    ]
    parts += [
        "\n".join([f"{one.name} failed:", *(f"  {line}" for line in one.error)])
        for one in found
        if one.error
    ]
    return "\n\n".join(parts)


def _whole(number: float | None) -> str:
    return "" if number is None else f"{number:,.0f}"


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
