"""Claims of sections 2.3 and 4.1: contributions of the layers over the whole training.

P(l) is the contribution of layer l: minus its sum of LCA. Differences are divided by the mean
absolute contribution of a layer, so they have no unit; they are positive if the claim is true.
"""

from __future__ import annotations

from itertools import combinations, product

import numpy as np

from losschange.analysis.conservation import CONSERVED
from losschange.analysis.profiles import FEED_FORWARD, LAYER_COMPONENTS
from losschange.claims.statistics import kendall, linear_fit, pearson, pick, ranks, share_of_mean
from losschange.claims.verdicts import Condition

from .registry import CLAIMS

SELF_ATTENTION = ("key", "query", "value", "out")
MEAN = "layer's mean"


def above(name: str) -> Condition:
    """The condition that a difference, in units of the layer's mean, is above 0."""
    return Condition(name, MEAN, least=0.0)


@CLAIMS.claim(
    1,
    "2.3",
    "The loss change allocated to all parameters sums to the change of the loss.",
    [Condition("ΣLCA over the measured loss change", "1", *CONSERVED)],
    scope="each",
    layers=False,
)
def components_sum_to_loss_change(resample):
    """§2.3: the components sum to the total loss change: ΣLCA / ΔL is within 5 % of 1."""
    allocated, measured = resample.measured()
    return [allocated / measured if measured else np.nan]


@CLAIMS.claim(
    2,
    "4.1",
    "Feed-forward matrices contribute an order of magnitude more than attention matrices.",
    [Condition("mean of W1, W2 over mean of K, Q, V, out", "1", least=10**0.5)],
    scope="each",
    layers=False,
)
def feed_forward_dominates(resample):
    """§4.1: feed-forward has another order of magnitude: the ratio is at least √10 = 3.16.

    Means over matrices are compared, as in the panels of Figure 1: the ratio of the sums over two
    feed-forward and four attention matrices is half of this one.
    """
    attention = resample.profile(*SELF_ATTENTION).sum() / len(SELF_ATTENTION)
    feed_forward = resample.profile(*FEED_FORWARD).sum() / len(FEED_FORWARD)
    if attention <= 0:
        return [np.inf if feed_forward > 0 else np.nan]
    return [feed_forward / attention]


@CLAIMS.claim(
    3,
    "4.1",
    "In the MLM's attention the first two and the last layers contribute more than the middle.",
    [
        above("mean of layers 1, 2 less that of 3-8"),
        above("mean of layers 10-12 less that of 3-8"),
    ],
    scope="each",
    objectives=["mlm"],
)
def masked_attention_has_large_ends(resample):
    """§4.1: MLM attention contributes mainly in the last, somewhat in the first two layers."""
    profile = resample.profile(*SELF_ATTENTION)
    middle = pick(profile, *range(3, 9)).mean()
    return [
        share_of_mean(pick(profile, 1, 2).mean() - middle, profile),
        share_of_mean(pick(profile, 10, 11, 12).mean() - middle, profile),
    ]


@CLAIMS.claim(
    4,
    "4.1",
    "In the CLM's attention layers 1 and 6-10 contribute most, and the last layer drops.",
    [
        above("mean of layers 1, 6-10 less that of 2-5"),
        above("largest of layers 6-10 less layer 12"),
    ],
    scope="each",
    objectives=["clm"],
)
def causal_attention_is_cup_and_handle(resample):
    """§4.1: CLM attention contributes more in layers 1 and 6-10, and drops in the last layer."""
    profile = resample.profile(*SELF_ATTENTION)
    high = pick(profile, 1, 6, 7, 8, 9, 10).mean() - pick(profile, 2, 3, 4, 5).mean()
    drop = pick(profile, *range(6, 11)).max() - profile[-1]
    return [share_of_mean(high, profile), share_of_mean(drop, profile)]


@CLAIMS.claim(
    5,
    "4.1",
    "Keys and queries of the MT encoder peak at layer 1, fall at layer 2 and rise slightly after.",
    [
        above("layer 1 less the largest of 2-6"),
        above("smallest of layers 3-6 less layer 2"),
        above("slope over layers 2-6"),
    ],
    scope="each",
    objectives=["mt"],
)
def translation_encoder_keys_fall_after_the_first(resample):
    """§4.1: K and Q of the encoder peak in layer 1, drop in layer 2 and then rise slightly."""
    profile = resample.profile("key", "query")[:6]
    return [
        share_of_mean(profile[0] - profile[1:].max(), profile),
        share_of_mean(profile[2:].min() - profile[1], profile),
        share_of_mean(linear_fit(profile[1:])[0], profile),
    ]


@CLAIMS.claim(
    6,
    "4.1",
    "Values and outputs of the MT encoder contribute most in its first and last layer.",
    [
        above("layer 1 less the mean of 2-5"),
        above("layer 6 less the mean of 2-5"),
    ],
    scope="each",
    objectives=["mt"],
)
def translation_encoder_values_have_large_ends(resample):
    """§4.1: V and out of the encoder contribute most in its first and its last layer."""
    profile = resample.profile("value", "out")[:6]
    middle = profile[1:5].mean()
    return [share_of_mean(profile[end] - middle, profile) for end in (0, 5)]


@CLAIMS.claim(
    7,
    "4.1",
    "Keys and queries of the MT decoder drop in the last layer, values and outputs much less.",
    [
        above("K, Q: largest of layers 7-11 less layer 12"),
        above("drop to layer 12 from the largest, K, Q less V, out"),
    ],
    scope="each",
    objectives=["mt"],
)
def translation_decoder_keys_drop_at_the_end(resample):
    """§4.1: K and Q of the decoder drop in the last layer, V and out do not."""
    keys, values = resample.profile("key", "query")[6:], resample.profile("value", "out")[6:]
    drops = [share_of_mean(profile.max() - profile[-1], profile) for profile in (keys, values)]
    return [share_of_mean(keys[:-1].max() - keys[-1], keys), drops[0] - drops[1]]


@CLAIMS.claim(
    8,
    "4.1",
    "In MT keys behave like queries, and values like outputs.",
    [Condition("smaller of r(K, Q), r(V, out) less the largest of the other pairs", least=0.0)],
    scope="each",
    objectives=["mt"],
    layers=False,
)
def translation_pairs_behave_alike(resample):
    """§4.1: K and Q have similar profiles, and so have V and out.

    Both of these correlations are above those of all four other pairs.
    """
    profiles = {name: resample.profile(name) for name in SELF_ATTENTION}
    pairs = [pearson(profiles[a], profiles[b]) for a, b in (("key", "query"), ("value", "out"))]
    crossed = [
        pearson(profiles[a], profiles[b]) for a, b in product(("key", "query"), ("value", "out"))
    ]
    return [min(pairs) - max(crossed)]


@CLAIMS.claim(
    9,
    "4.1",
    "Feed-forward contributes most in the last layer, in MT in the last of encoder and decoder.",
    [above("last layer less the largest before it")],
    scope="each",
    layers=False,
)
def feed_forward_is_largest_at_the_end(resample):
    """§4.1: feed-forward contributes most in the last layer, in MT of each module."""
    profile = resample.profile(*FEED_FORWARD)
    stacks = [profile] if resample.border is None else np.split(profile, [resample.border])
    if min(map(len, stacks)) < 2:
        return [np.nan]
    return [min(share_of_mean(stack[-1] - stack[:-1].max(), profile) for stack in stacks)]


@CLAIMS.claim(
    10,
    "4.1",
    "The MLM's feed-forward contributes strongly in layer 1.",
    [above("layer 1 less the mean of layers 2-4")],
    scope="each",
    objectives=["mlm"],
)
def masked_feed_forward_is_strong_at_first(resample):
    """§4.1: the MLM differs from the others by strong contributions in the first layer."""
    profile = resample.profile(*FEED_FORWARD)
    return [share_of_mean(profile[0] - profile[1:4].mean(), profile)]


@CLAIMS.claim(
    11,
    "4.1",
    "Unlike CLM and MT, the MLM has the same trend in all its components.",
    [
        Condition(f"mean Spearman of all pairs of components, MLM less {other}", least=0.0)
        for other in ("CLM", "MT")
    ],
    layers=False,
)
def masked_components_share_a_trend(resamples):
    """§4.1: only the MLM has one trend in all components.

    The mean rank correlation between its components is above those of CLM and MT.
    """
    agreement = {}
    for objective, resample in resamples.items():
        ranked = [ranks(resample.profile(name)) for name in LAYER_COMPONENTS]
        agreement[objective] = np.mean([pearson(a, b) for a, b in combinations(ranked, 2)])
    return [agreement["mlm"] - agreement[other] for other in ("clm", "mt")]


@CLAIMS.claim(
    12,
    "4.1",
    "The CLM's feed-forward rises with every layer, with sharper jumps at layers 4-7.",
    [
        Condition("Kendall's τ of layer and contribution", least=0.9),
        above("mean rise to layers 4-7 less that to the others"),
    ],
    scope="each",
    objectives=["clm"],
)
def causal_feed_forward_rises(resample):
    """§4.1: CLM feed-forward rises monotonically (τ ≥ 0.9), with jumps at layers 4-7."""
    profile = resample.profile(*FEED_FORWARD)
    rises = np.diff(profile)  # the first is the rise to layer 2
    sharp = np.isin(np.arange(2, 13), range(4, 8))
    return [
        kendall(np.arange(12.0), profile),
        share_of_mean(rises[sharp].mean() - rises[~sharp].mean(), profile),
    ]


@CLAIMS.claim(
    13,
    "4.1",
    "The MT encoder's feed-forward rises linearly; the decoder's resembles the CLM's.",
    [
        Condition("share of the encoder's variance on a rising line", least=0.9),
        Condition("r(decoder, CLM) less r(decoder, MLM)", least=0.0),
    ],
)
def translation_feed_forward_is_linear_then_causal(resamples):
    """§4.1: the encoder's profile rises linearly (R² ≥ 0.9), the decoder's is like the CLM's.

    Six layers of the decoder are compared with the means of neighbouring pairs of twelve layers.
    """
    profile = resamples["mt"].profile(*FEED_FORWARD)
    slope, explained = linear_fit(profile[:6])
    joined = {
        name: resamples[name].profile(*FEED_FORWARD).reshape(6, 2).mean(axis=1)
        for name in ("clm", "mlm")
    }
    nearer = pearson(profile[6:], joined["clm"]) - pearson(profile[6:], joined["mlm"])
    return [explained if slope > 0 else 0.0, nearer]


@CLAIMS.claim(
    14,
    "4.1",
    "In MT both feed-forward matrices peak at the transition from encoder to decoder.",
    [
        above("layer 6 less the larger of 5 and 7, W1"),
        above("layer 6 less the larger of 5 and 7, W2"),
    ],
    scope="each",
    objectives=["mt"],
)
def translation_peaks_at_the_transition(resample):
    """§4.1: W1 and W2 peak at the transition from encoder to decoder: P(6) > P(5), P(7)."""
    profiles = [resample.profile(name) for name in FEED_FORWARD]
    return [share_of_mean(p[5] - max(p[4], p[6]), p) for p in profiles]
