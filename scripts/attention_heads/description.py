"""All measures of the heads of one model at one moment of its training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from .ablation import ablate
from .alpha_beta import alpha_beta_relevance
from .confidence import confidence
from .functions import Counts, GoldSentences, count_positions, count_rare, count_syntax
from .handle import ModelHandle
from .importance import importance
from .passes import weight_norms
from .relevance import relevance
from .syntactic import Syntactic

ByAttention = Mapping[str, np.ndarray]
GROUPED = ("positional", "rare", "syntactic")


@dataclass(frozen=True)
class Texts:
    """The text that a model's heads are measured on.

    Parameters
    ----------
    predicted : sequence of batches
        With targets; for a masked model, with masks.
    read : sequence of sequence of batches
        The same sentences without masks, in groups that can be resampled.
    ranks : dict of side to int Tensor (vocabulary,)
        Rank of every token id by frequency in the training text, 0 = most frequent.
    frequent : int
        Number of the most frequent types that are not rare.
    gold : sequence of GoldSentences
        Sentences with known syntax, in groups; empty without.
    """

    predicted: Sequence[Any]
    read: Sequence[Sequence[Any]]
    ranks: dict[str, Tensor]
    frequent: int
    gold: Sequence[GoldSentences] = ()


@dataclass
class Description:
    """What was measured.

    Parameters
    ----------
    values : dict of a name in storage.VARIABLES to mapping of attention to array
    by_sentence : dict of a name in storage.BY_SENTENCE to mapping of attention to array
    counts : dict of "positional", "rare" or "syntactic" to mapping of attention to Counts
    syntax : mapping of attention to results of SyntaxCounter
    targets : array (sentences,)
    """

    values: dict[str, ByAttention] = field(default_factory=dict)
    by_sentence: dict[str, ByAttention] = field(default_factory=dict)
    counts: dict[str, Mapping[str, Counts]] = field(default_factory=dict)
    syntax: Mapping[str, Mapping[tuple[str, str], Syntactic]] = field(default_factory=dict)
    targets: np.ndarray = field(default_factory=lambda: np.zeros(0))


def describe(
    handle: ModelHandle,
    texts: Texts,
    seed: int,
    ablation: bool = True,
    alpha_beta: bool = False,
    copies: int = 8,
) -> Description:
    """Measure every head.

    Parameters
    ----------
    handle : ModelHandle
    texts : Texts
    seed : int
        Breaks ties and draws the positions whose predictions are explained.
    ablation : bool
        Whether every head is closed once; this is most of the time.
    alpha_beta : bool
        Whether relevance is also computed by the alpha-beta rule; the handle must name the parts
        of its layers.
    copies : int
        See attention_heads.ablation.ablate.
    """
    read = [batch for group in texts.read for batch in group]
    sure, worth = confidence(handle, read), importance(handle, texts.predicted)
    passed = relevance(handle, texts.predicted, seed)
    found = Description(targets=next(iter(worth.values())).targets)
    found.values = {
        "confidence": {name: each.mean for name, each in sure.items()},
        "adjusted_confidence": {name: each.adjusted for name, each in sure.items()},
        "relevance": {name: each.share for name, each in passed.items()},
        "importance": {name: each.absolute for name, each in worth.items()},
        "signed_importance": {name: each.signed for name, each in worth.items()},
        "weight_norm": weight_norms(handle),
    }
    found.by_sentence = {
        "confidence_by_sentence": {name: each.by_sentence for name, each in sure.items()},
        "relevance_by_sentence": _by_sentence(
            {name: each.shares_by_sentence for name, each in passed.items()}, found.targets
        ),
        "importance_by_sentence": {name: each.by_sentence for name, each in worth.items()},
    }
    if alpha_beta:
        checked = alpha_beta_relevance(handle, texts.predicted, seed)  # type: ignore[arg-type]
        found.values["alpha_beta_relevance"] = {n: each.share for n, each in checked.items()}
    if ablation:
        rises = ablate(handle, texts.predicted, copies)
        found.values["ablation"] = {name: each.rise for name, each in rises.items()}
        found.by_sentence["ablation_by_sentence"] = {n: r.by_sentence for n, r in rises.items()}
    found.counts["positional"] = count_positions(handle, texts.read, seed)
    found.counts["rare"] = count_rare(handle, texts.read, texts.ranks, seed, texts.frequent)
    if texts.gold:
        found.counts["syntactic"], found.syntax = count_syntax(handle, texts.gold, seed)
    for kind, counts in found.counts.items():
        found.values[kind] = {name: each.rates for name, each in counts.items()}
    return found


def _by_sentence(values: ByAttention, targets: np.ndarray) -> ByAttention:
    """Put NaN where a sentence has no target and so no explained prediction."""
    result = {}
    for name, each in values.items():
        whole = np.full((len(targets), *each.shape[1:]), np.nan)
        whole[targets > 0] = each
        result[name] = whole
    return result
