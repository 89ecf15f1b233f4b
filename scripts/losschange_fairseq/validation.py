"""The loss on all samples of the validation text."""

from __future__ import annotations

import math

from fairseq.logging import metrics

from .batches import whole_text
from .errors import TrainingError


def validation_loss(cfg, task, trainer, limit) -> float:
    """Mean loss of the validation text in nats per target token, over all processes.

    It is the loss without label smoothing.

    Parameters
    ----------
    cfg, task, trainer : of fairseq
    limit
        Longest sample, of `batches.size_limit`.

    Raises
    ------
    TrainingError
        If every sample is longer than `limit`.
    """
    batches = whole_text(
        task,
        task.dataset("valid"),
        limit,
        cfg.dataset.max_tokens,
        cfg.common.seed,
        num_shards=trainer.data_parallel_world_size,
        shard_id=trainer.data_parallel_rank,
        num_workers=cfg.dataset.num_workers,
        data_buffer_size=cfg.dataset.data_buffer_size,
    )
    if not batches.frozen_batches:
        raise TrainingError(
            f"every sample of the validation text is longer than max_tokens "
            f"{cfg.dataset.max_tokens}; raise it, or take other text"
        )
    trainer.reset_dummy_batch(batches.first_batch)
    with metrics.aggregate(new_root=True) as meters:
        for sample in batches.next_epoch_itr(shuffle=False, set_dataset_epoch=False):
            trainer.valid_step(sample)
    # Where labels are smoothed, `loss` is the smoothed one.
    name = "nll_loss" if getattr(trainer.get_criterion(), "eps", 0.0) else "loss"
    # fairseq computes the loss in bits; unlike in its log, the mean is not rounded here.
    return float(meters[name].avg) * math.log(2)
