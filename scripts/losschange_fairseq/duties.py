"""How often a training loop validates and saves between its updates."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DutyIntervals:
    """Numbers of updates between the loop's duties."""

    total: int
    validation: int
    checkpoint: int
