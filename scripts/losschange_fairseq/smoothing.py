"""The loss behind LCA and quality: cross-entropy in nats, even if training smooths labels."""

from __future__ import annotations

from fairseq.criterions.cross_entropy import CrossEntropyCriterion


def unsmoothed(criterion, task):
    """The criterion itself, or the plain cross-entropy in place of a label-smoothed one.

    Parameters
    ----------
    criterion : fairseq criterion
        fairseq's label-smoothed criterions hold the smoothed share as `eps`.
    task : fairseq task
    """
    if not getattr(criterion, "eps", 0.0):
        return criterion
    return CrossEntropyCriterion(task, criterion.sentence_avg)
