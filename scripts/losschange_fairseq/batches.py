"""Batches of a whole text, for validation and for the final evaluation, and the limit on samples.

As in training, samples longer than a micro-batch or than the model's positions are left out.
Unlike in training, all other samples are used: fairseq trains on batches of a multiple of eight
samples, which drops the last samples, and those are the longest.
"""

from __future__ import annotations

from fairseq import utils
from fairseq.data import iterators


def size_limit(task, model, max_tokens: int | None):
    """Length in tokens of the longest sample that fairseq trains on, as its filters expect it.

    Parameters
    ----------
    task, model : of fairseq
    max_tokens : int or None
        Tokens of a micro-batch in training.
    """
    return utils.resolve_max_positions(task.max_positions(), model.max_positions(), max_tokens)


def whole_text(
    task, dataset, limit, max_tokens: int, seed: int, **options
) -> iterators.EpochBatchIterator:
    """Batches of all samples of a dataset that are not longer than a limit.

    Parameters
    ----------
    task : fairseq task
    dataset : fairseq dataset
    limit
        Result of `size_limit`.
    max_tokens : int
        Tokens per batch.
    seed : int
        Decides the order of samples of equal length.
    options
        Of fairseq's `get_batch_iterator`.
    """
    return task.get_batch_iterator(
        dataset,
        max_tokens=max_tokens,
        max_positions=limit,
        ignore_invalid_inputs=True,
        required_batch_size_multiple=1,
        seed=seed,
        epoch=1,
        **options,
    )


def samples_left_out(dataset, limit) -> int:
    """Number of samples of a dataset that are longer than the limit of `size_limit`."""
    return len(dataset.filter_indices_by_size(dataset.ordered_indices(), limit)[1])
