"""Claims about pruning heads; the section is the minute of the podcast."""

from __future__ import annotations

import numpy as np

from attention_heads.rank_statistics import within_layer_auc
from losschange.claims.judging import MissingData
from losschange.claims.verdicts import Condition

from ..evidence import kept_share
from ..resampling import at_most, check_pruning, check_translations
from .registry import CLAIMS

BLEU = "BLEU"
TYPES = ("encoder", "decoder", "cross")


@CLAIMS.claim(
    5,
    "12:06",
    "Ten of 48 encoder heads translate as well as all of them.",
    [Condition("BLEU of the control arm less that of the pruned model", BLEU, most=0.25)],
    scope="each",
    layers=False,
)
def few_encoder_heads_suffice(resample):
    """Encoder-only pruning: the arm that keeps most heads, but at most 10 of 48.

    The control arm made the same updates without a price.
    """
    return [_loss_of_bleu(resample, 10 / 48, encoder_only=True)]


@CLAIMS.claim(
    6,
    "12:06",
    "Half of all heads translate nearly as well as all of them, and a quarter not much worse.",
    [
        Condition("BLEU of the control arm less that of half of the heads", BLEU, most=0.25),
        Condition("BLEU of the control arm less that of a quarter of the heads", BLEU, most=0.75),
    ],
    scope="each",
    layers=False,
)
def half_of_the_heads_suffices(resample):
    """Pruning of all types: the arms that keep most heads, but at most a half and a quarter."""
    return [_loss_of_bleu(resample, share, encoder_only=False) for share in (1 / 2, 1 / 4)]


@CLAIMS.claim(
    7,
    "13:07",
    "The heads that survive pruning are those with a function.",
    [Condition("AUC of having a function for survival", least=0.5)],
    scope="each",
    layers=False,
)
def heads_with_a_function_survive(resample):
    """Encoder heads, the encoder-only arm that keeps most nearly half. Intervals over the heads."""
    half = resample.training.half(encoder_only=True)
    if half is None:
        raise MissingData("no price prunes some of the encoder's heads and keeps others")
    check_pruning(resample, half, resample.training.control(encoder_only=True))
    functions = resample.recorded.has_function("encoder").ravel()
    if functions.all() or not functions.any():
        what = "every" if functions.all() else "no"
        raise MissingData(f"{what} head of the encoder has a function")
    chosen = resample.drawn_heads(len(functions), 0)
    kept = resample.training.kept(half, "encoder").ravel()
    return [float(within_layer_auc(functions[chosen][None], kept[chosen][None]))]


@CLAIMS.claim(
    8,
    "14:31",
    "Heads of the encoder are pruned most, those of cross-attention least.",
    [
        Condition("share kept in the decoder's self-attention less the encoder's", least=0.0),
        Condition("share kept in cross-attention less the decoder's self-attention", least=0.0),
    ],
    scope="each",
    layers=False,
)
def cross_attention_survives(resample):
    """The arm of all types that keeps most nearly half of the heads. Intervals over the heads."""
    half = resample.training.half()
    if half is None:
        raise MissingData("no price prunes some heads and keeps others")
    check_pruning(resample, half, resample.training.control())
    shares = []
    for place, name in enumerate(TYPES):
        kept = resample.training.kept(half, name).ravel()
        shares.append(float(kept[resample.drawn_heads(len(kept), place)].mean()))
    return [shares[1] - shares[0], shares[2] - shares[1]]


@CLAIMS.claim(
    9,
    "15:47",
    "A model trained from scratch with the pruned heads is worse than the pruned one.",
    [Condition("loss from scratch less that of the pruned model", "nats", least=0.0)],
    scope="each",
    layers=False,
)
def pruning_beats_training_from_scratch(resample):
    """Loss per target token on the same sentences; the model trained once more, its heads closed
    as in the arm of all types that keeps most nearly half.
    """
    half, scratch = resample.training.half(), resample.scratch
    if scratch is None:
        raise MissingData("no model was trained from scratch (attention_heads.from_scratch)")
    if half is None:
        raise MissingData("no price prunes some heads and keeps others")
    check_pruning(resample, half, resample.training.control())
    return [resample.loss(scratch) - resample.loss(half)]


def _loss_of_bleu(resample, share: float, encoder_only: bool) -> float:
    """BLEU that the control arm has above the arm that keeps at most a share of the heads."""
    control = resample.training.control(encoder_only)
    pruned = at_most(resample.training.prices(encoder_only), share, kept_share)
    check_pruning(resample, pruned, control)
    check_translations(control)
    return float(np.subtract(resample.bleu(control), resample.bleu(pruned)))
