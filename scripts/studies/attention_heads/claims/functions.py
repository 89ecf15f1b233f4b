"""Claims about what single heads do; the section is the minute of the podcast."""

from __future__ import annotations

import numpy as np

from attention_heads.syntactic import RELATIONS
from losschange.claims.judging import MissingData
from losschange.claims.verdicts import Condition

from .. import resampling
from ..resampling import check_worth
from .registry import CLAIMS

ALL_OBJECTIVES = ("clm", "mlm", "mt")
# Of syntactic.RELATIONS, with their names in sentences.
ENDS = {"nsubj": "subject", "obj": "object"}


@CLAIMS.claim(
    1,
    "3:43",
    "Two of eight heads carry most of a layer's relevance.",
    [Condition("share of the two most relevant heads, median layer", least=0.5)],
    scope="each",
    objectives=ALL_OBJECTIVES,
    layers=False,
)
def two_heads_carry_relevance(resample):
    """Median over layers of the two largest shares of relevance; two of eight alike have 0.25.

    Of a translation model, the encoder's heads.
    """
    check_worth(resample)
    shares = np.sort(resample.mean("relevance_by_sentence", resample.own), axis=-1)
    if shares.shape[-1] < 3:
        raise MissingData(f"a layer has {shares.shape[-1]} heads: two of them are all")
    return [float(np.nanmedian(shares[:, -2:].sum(-1)))]


@CLAIMS.claim(
    2,
    "5:06",
    "From the second layer on, the most relevant head is the most confident one.",
    [
        Condition("share of these layers", least=0.5),
        Condition("that share less chance, 1 / heads", least=0.0),
    ],
    scope="each",
    objectives=ALL_OBJECTIVES,
    layers=False,
)
def relevant_heads_are_confident(resample):
    """Share of the layers from the second whose most relevant head is the most confident."""
    check_worth(resample)
    relevance, confidence = (
        resample.mean(f"{name}_by_sentence", resample.own)[1:]
        for name in ("relevance", "confidence")
    )
    layers, heads = relevance.shape
    if heads < 2 or not layers:
        raise MissingData(f"{heads} head(s) per layer and {layers + 1} layers: nothing to compare")
    share = float(np.mean(relevance.argmax(-1) == confidence.argmax(-1)))
    return [share, share - 1 / heads]


@CLAIMS.claim(
    3,
    "5:06",
    "In the first layer one head, not the most confident, is by far most relevant: rare tokens.",
    [
        Condition("relevance of the first head over the second", least=2.0),
        Condition("confidence of the most confident other head less its own", least=0.0),
        Condition("rate of looking at one of the two rarest tokens", least=0.5),
        Condition("that rate less a random key's", least=0.0),
    ],
    scope="each",
    layers=False,
)
def first_layer_has_a_rare_token_head(resample):
    """Encoder of the translation model, layer 1, its most relevant head."""
    check_worth(resample)
    relevance = resample.mean("relevance_by_sentence", "encoder")[0]
    confidence = resample.mean("confidence_by_sentence", "encoder")[0]
    if len(relevance) < 2:
        raise MissingData("one head per layer: nothing to compare")
    top = int(relevance.argmax())
    rates, chance = resample.rates("rare", "encoder")
    if np.isnan(chance[1]):
        raise MissingData("no sentence holds a rare token: all are among the most frequent ones")
    others = np.delete(confidence, top)
    rate = rates[0, top, 1]
    return [
        float(relevance[top] / np.delete(relevance, top).max()),
        float(others.max() - confidence[top]),
        float(rate),
        float(rate - chance[1]),
    ]


@CLAIMS.claim(
    4,
    "9:18",
    "The encoder has confident positional heads, and heads for subjects and for objects.",
    [
        Condition("confidence of the most confident positional head; 0 without one", least=0.8),
        Condition("subject: rate of the best head less the best offset's", least=0.1),
        Condition("object: rate of the best head less the best offset's", least=0.1),
    ],
    scope="each",
    layers=False,
)
def encoder_has_positional_and_syntactic_heads(resample):
    """Positional: at one offset in 90 % of the cases. Syntactic heads and their direction are
    chosen on one half of the sentences and judged on the other, both ways: the best of many heads
    is above the baseline by chance.
    """
    check_worth(resample)
    places = np.nan_to_num(resample.rates("positional", "encoder")[0]).max(-1)
    sure = resample.mean("confidence_by_sentence", "encoder")
    positional = np.where(places >= resampling.POSITIONAL, sure, 0.0).max()
    gains = [_cross_fitted_gain(resample, name) for name in ENDS]
    return [float(positional), *gains]


def _cross_fitted_gain(resample, relation: str) -> float:
    """Gain of the best head and direction over the best offset, on sentences it was not chosen on.

    Raises
    ------
    MissingData
        If the relation does not occur.
    """
    halves = []
    for start in (0, 1):
        rates, baseline = resample.rates("syntactic", "encoder", slice(start, None, 2))
        halves.append((rates - baseline)[:, :, list(RELATIONS).index(relation)])
    found = []
    for chosen, judged in (halves, halves[::-1]):
        if np.isnan(chosen).all() or np.isnan(judged).all():
            if not resample.resampled:
                raise MissingData(
                    f"the relation of the {ENDS[relation]} occurs too rarely to be judged"
                )
            return np.nan
        best = np.unravel_index(np.nanargmax(chosen), chosen.shape)
        found.append(judged[best])
    return float(np.mean(found))
