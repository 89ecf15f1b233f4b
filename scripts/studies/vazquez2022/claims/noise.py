"""Claims of sections 4.3 and 4.4: single heads, and parameters that hurt (Table 1)."""

from __future__ import annotations

import numpy as np

from losschange.analysis.profiles import ATTENTION, FEED_FORWARD, LAYER_COMPONENTS
from losschange.claims.statistics import intraclass_correlation, ranks, share, share_of_mean
from losschange.claims.verdicts import Condition

from .registry import CLAIMS

# Layers that §4.3 names for heads that differ.
EXCEPTIONS = {"mlm": (1, 9, 12), "clm": (3, 7), "mt": (5, 7)}
LATE = 0.1


@CLAIMS.claim(
    23,
    "4.3",
    "Heads of one layer contribute nearly the same.",
    [Condition("intraclass correlation of heads within layers, mean of K, Q, V", least=0.5)],
    scope="each",
    layers=False,
)
def heads_are_redundant(resample):
    """§4.3: differences between heads of a layer are mostly negligible.

    The intraclass correlation of heads within layers is at least 0.5.
    """
    return [np.mean([intraclass_correlation(resample.heads(name)) for name in ATTENTION])]


@CLAIMS.claim(
    24,
    "4.3",
    "Heads differ most in layers 1, 9, 12 of the MLM, 3, 7 of the CLM and 5, 7 of MT.",
    [Condition("mean rank of these layers by the range of their heads (1 = widest)", least=0.75)],
)
def named_layers_have_different_heads(resamples):
    """§4.3: the heads of some layers differ widely.

    On average these layers are in the top quarter of their model by the range of their heads. The
    range of a layer is the largest difference between two of its heads in K, Q or V.
    """
    found = []
    for objective, layers in EXCEPTIONS.items():
        ranges = np.max(
            [np.ptp(resamples[objective].heads(name), axis=1) for name in ATTENTION], axis=0
        )
        places = (ranks(ranges) - 1) / (len(ranges) - 1)
        found += [places[layer - 1] for layer in layers]
    return [np.mean(found)]


@CLAIMS.claim(
    25,
    "4.4",
    "In CLM and MT parameters hurt only in the first steps, at most 3 % of training.",
    [Condition("last step with positive LCA", "share of training", most=0.03)],
    scope="each",
    objectives=["clm", "mt"],
    layers=False,
)
def positives_are_early(resample):
    """§4.4: parameters of CLM and MT hurt only in the first 3 % of training."""
    found = np.flatnonzero(resample.hurts(*LAYER_COMPONENTS).sum(axis=1))
    return [resample.times()[found[-1]] if len(found) else 0.0]


@CLAIMS.claim(
    26,
    "4.4",
    "Late in training the MLM's positive LCA is almost only in the attention of layers 2-5.",
    [Condition("share of late positive records in attention of layers 2-5", least=0.8)],
    scope="each",
    objectives=["mlm"],
)
def late_positives_are_in_lower_attention(resample):
    """§4.4, Figure 4: at least 80 % of late positive LCA is in the attention of layers 2-5.

    Late means after the first tenth of training; attention is K, Q, V and out.
    """
    late = resample.times() > LATE
    attention = resample.hurts("key", "query", "value", "out")[late].sum(axis=0)
    all_of_them = resample.hurts(*LAYER_COMPONENTS)[late].sum()
    return [share(attention[1:5].sum(), all_of_them)]


@CLAIMS.claim(
    27,
    "4.4",
    "In the MLM keys and queries hurt far more often than the rest, feed-forward never.",
    [
        Condition("smaller count of K, Q over the largest of the rest", least=10.0),
        Condition("share of positive records in W1, W2", most=0.0),
    ],
    scope="each",
    objectives=["mlm"],
    layers=False,
)
def masked_keys_and_queries_hurt_most(resample):
    """Table 1: counts of the MLM are 1565 for key, 2055 for query, 0 for W1 and W2, else ≤ 24."""
    counts = {name: resample.hurts(name).sum() for name in LAYER_COMPONENTS}
    rest = [counts[name] for name in ("value", "out", *FEED_FORWARD)]
    rest.append(resample.hurts_outside("embedding"))
    records = resample.bins.records.sum() * resample.layers * len(FEED_FORWARD)
    never = sum(counts[name] for name in FEED_FORWARD) / records
    return [min(counts["key"], counts["query"]) / max(1.0, *rest), never]


@CLAIMS.claim(
    28,
    "4.4",
    "No layer and no sub-layer component raises the loss over the whole training.",
    [Condition("smallest contribution of a layer or of a component in a layer", "mean", least=0.0)],
    scope="each",
    layers=False,
)
def nothing_hurts_overall(resample):
    """§4.4: no full layer or sub-layer component raises the loss over the whole training.

    A contribution is divided by the mean absolute contribution of the same component, or of whole
    layers, over all layers.
    """
    profiles = [resample.profile(name) for name in LAYER_COMPONENTS]
    profiles.append(np.sum(profiles, axis=0))
    return [min(share_of_mean(p.min(), p) for p in profiles)]
