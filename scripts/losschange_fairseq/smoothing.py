"""The loss that LCA and quality are of: cross-entropy in nats, whatever a training minimises."""

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
