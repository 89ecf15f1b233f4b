"""The intervals at which a training loop validates and saves."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DutyIntervals:
    """When the training loop ends, validates and saves.

    Parameters
    ----------
    total : int
        Updates of the whole training.
    validation, checkpoint : int
        Updates between two validations, and between two checkpoints.
    """

    total: int
    validation: int
    checkpoint: int
