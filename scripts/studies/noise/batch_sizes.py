"""Other sizes of a training's batch: how many tokens an update has."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from running.configuration_training import Training

LARGEST_DENOMINATOR = 1000


class BatchSizeError(ValueError):
    """A batch that is smaller than one sample."""


def name_of_size(size: float) -> str:
    """Part of a variant's name: "batch-1-4" for a quarter, "batch-4" for four times as many."""
    ratio = Fraction(size).limit_denominator(LARGEST_DENOMINATOR)
    parts = [ratio.numerator, *([ratio.denominator] if ratio.denominator > 1 else [])]
    return "-".join(["batch", *map(str, parts)])


def with_batch_size(training: Training, size: float, workers: int) -> dict[str, Any]:
    """The keys of `training` that make an update `size` times as large; empty for size 1.

    The number of micro-batches is changed where it stays whole and divides among the workers, and
    otherwise their size, which is rounded to whole samples.

    Parameters
    ----------
    training : Training
    size : float
    workers : int
        Processes that share the micro-batches of an update.

    Raises
    ------
    BatchSizeError
        If a micro-batch would be smaller than a sample.
    """
    if size == 1:
        return {}
    frequency = training.update_frequency * size
    if frequency >= 1 and frequency == round(frequency) and round(frequency) % workers == 0:
        return {"update_frequency": round(frequency)}
    sample = training.tokens_per_sample
    samples = round(training.max_tokens * size / sample)
    if samples < 1:
        raise BatchSizeError(
            f"{training.max_tokens * size:g} tokens are fewer than a sample of {sample}; choose "
            f"{sample / training.max_tokens:g} or more"
        )
    return {"max_tokens": samples * sample}
