"""Which samples of a text are looked at, the same for validation, evaluation and probes.

Like training, all three leave out what is longer than a micro-batch or than the model's positions.
Unlike training they take everything else: fairseq's batches of a multiple of eight samples would
drop the last ones, which are the longest.
"""

from __future__ import annotations

from fairseq import utils
from fairseq.data import iterators


def size_limit(task, model, max_tokens: int | None):
    """Longest sample that fairseq trains on, in tokens, in the form that its filters take.

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
    """Batches of every sample of a dataset that is within a limit.

    Parameters
    ----------
    task : fairseq task
    dataset : fairseq dataset
    limit
        Of `size_limit`.
    max_tokens : int
        Tokens per batch.
    seed : int
        Of the order among samples of one length.
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
    """How many samples of a dataset are beyond a limit of `size_limit`."""
    return len(dataset.filter_indices_by_size(dataset.ordered_indices(), limit)[1])
