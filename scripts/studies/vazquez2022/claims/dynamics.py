"""Claims of section 4.2: how the contributions develop over training (Figure 2)."""

from __future__ import annotations

import numpy as np

from losschange.analysis.profiles import ATTENTION, FEED_FORWARD
from losschange.claims.resamples import SEGMENTS
from losschange.claims.statistics import pearson, pick, share, spearman, t90
from losschange.claims.verdicts import Condition

from .registry import CLAIMS

LAYERS = (*ATTENTION, *FEED_FORWARD)
TRAINING = "share of training"
EARLY = 0.1


@CLAIMS.claim(
    15,
    "4.2",
    "The largest contributions come early in training.",
    [Condition("share of the loss change in the first 10 % of training", least=0.5)],
    scope="each",
    layers=False,
)
def largest_changes_are_early(resample):
    """§4.2: the largest LCA is early: at least half of it in the first 10 % of training."""
    running = np.concatenate([[0.0], np.cumsum(resample.whole())])
    early = np.interp(EARLY, np.concatenate([[0.0], resample.times()]), running)
    return [share(early, running[-1])]


@CLAIMS.claim(
    16,
    "4.2",
    "Earlier layers converge earlier.",
    [Condition("Spearman of layer and t90", least=0.0)],
    scope="each",
    layers=False,
)
def earlier_layers_converge_first(resample):
    """§4.2: earlier layers tend to converge faster: layer and t90 have a positive correlation."""
    reached = t90(resample.series(*LAYERS), resample.times())
    return [spearman(np.arange(resample.layers), reached)]


@CLAIMS.claim(
    17,
    "4.2",
    "The MLM's embedding and layers 1 and 10-12 oscillate late in training more than its middle.",
    [
        Condition("late oscillation of layers 1, 10-12 over that of 3-8", least=1.0),
        Condition("late oscillation of the embedding over that of layers 3-8", least=1.0),
        Condition("first ratio, MLM over the larger of CLM and MT", least=1.0),
    ],
)
def masked_ends_oscillate_longer(resamples):
    """§4.2: the MLM's embedding and layers 1 and 10-12 oscillate longer and more than others.

    Oscillation is the root mean square difference between neighbouring segments, in the second
    half of training; a segment is a fiftieth of training.
    """
    ratios = {}
    for objective, resample in resamples.items():
        late = _oscillation(resample, *LAYERS)
        middle = pick(late, *range(3, 9)).mean()
        ratios[objective] = pick(late, 1, 10, 11, 12).mean() / middle if middle > 0 else np.nan
        if objective == "mlm":
            embedding = _oscillation(resample, "embedding")[0] / middle if middle > 0 else np.nan
    return [ratios["mlm"], embedding, ratios["mlm"] / max(ratios["clm"], ratios["mt"])]


def _oscillation(resample, *components: str) -> np.ndarray:
    # Compute differences before resampling: resampling the curve itself adds oscillations.
    squares = np.diff(resample.curves(*components), axis=0) ** 2
    late = squares[len(squares) // 2 :]
    return np.sqrt(late[resample.chosen(len(late))].mean(axis=0))


@CLAIMS.claim(
    18,
    "4.2",
    "The MLM's middle layers settle early, in the attention most.",
    [
        Condition("t90 of layers 1, 10-12 less that of 3-8", TRAINING, least=0.0),
        Condition("t90 of layers 3-8, feed-forward less attention", TRAINING, least=0.0),
    ],
    scope="each",
    objectives=["mlm"],
)
def masked_middle_settles_early(resample):
    """§4.2: the middle layers of the MLM converge early, particularly in attention."""
    times = resample.times()
    both = t90(resample.series(*LAYERS), times)
    middle = [
        pick(t90(resample.series(*n), times), *range(3, 9)) for n in (ATTENTION, FEED_FORWARD)
    ]
    ends = pick(both, 1, 10, 11, 12).mean()
    return [ends - pick(both, *range(3, 9)).mean(), middle[1].mean() - middle[0].mean()]


@CLAIMS.claim(
    19,
    "4.2",
    "Over training CLM and MT resemble each other, the MLM differs from both.",
    [Condition("r(CLM, MT) less the larger of r(CLM, MLM) and r(MT, MLM)", least=0.0)],
)
def causal_and_translation_are_alike(resamples):
    """§4.2: curves of CLM and MT are alike in almost all layers and blocks, those of MLM differ.

    r is the correlation of two models' curves over training, in fiftieths of training, averaged
    over layers and both blocks. All models are resampled at the same times: shuffling each curve
    by itself would destroy their similarity.
    """
    chosen = resamples["clm"].chosen(SEGMENTS)
    curves = {
        name: np.hstack([resample.curves(*block) for block in (ATTENTION, FEED_FORWARD)])[chosen]
        for name, resample in resamples.items()
    }

    def alike(one: str, other: str) -> float:
        pairs = zip(curves[one].T, curves[other].T, strict=True)
        return float(np.mean([pearson(a, b) for a, b in pairs]))

    return [alike("clm", "mt") - max(alike("clm", "mlm"), alike("mt", "mlm"))]


@CLAIMS.claim(
    20,
    "4.2",
    "MT converges more smoothly than CLM in layers 7-10.",
    [Condition("total variation over the sum, MT less CLM", most=0.0)],
    objectives=["clm", "mt"],
)
def translation_is_smoother(resamples):
    """§4.2: MT converges more smoothly than CLM, especially in layers 7-10.

    Roughness is the total variation of a curve in fiftieths of training, divided by the sum of
    its absolute values.
    """
    rough = {}
    for name, resample in resamples.items():
        curve = pick(resample.curves(*LAYERS), 7, 8, 9, 10)
        steps, size = np.abs(np.diff(curve, axis=0)), np.abs(curve[1:])
        chosen = resample.chosen(len(steps))
        total = size[chosen].sum(axis=0)
        rough[name] = np.mean(steps[chosen].sum(axis=0) / total) if total.all() else np.nan
    return [rough["mt"] - rough["clm"]]


@CLAIMS.claim(
    21,
    "4.2",
    "The CLM's largest contributions come from layers 7-9 of attention, 7-12 of feed-forward.",
    [
        Condition("share of layers 7-9 in attention", least=3 / 12),
        Condition("share of layers 7-12 in feed-forward", least=6 / 12),
    ],
    scope="each",
    objectives=["clm"],
)
def causal_mass_is_in_upper_layers(resample):
    """§4.2: CLM contributions are mostly from attention layers 7-9 and feed-forward layers 7-12.

    Their shares are above those of equal contributions of all layers.
    """
    attention, feed_forward = resample.profile(*ATTENTION), resample.profile(*FEED_FORWARD)
    return [
        share(pick(attention, 7, 8, 9).sum(), attention.sum()),
        share(pick(feed_forward, *range(7, 13)).sum(), feed_forward.sum()),
    ]


@CLAIMS.claim(
    22,
    "4.2",
    "In CLM and MT feed-forward converges later than attention, in layers 10-12 most.",
    [
        Condition("t90 of feed-forward less attention, mean of layers", TRAINING, least=0.0),
        Condition("that difference in layers 10-12 less the others", TRAINING, least=0.0),
    ],
    scope="each",
    objectives=["clm", "mt"],
)
def feed_forward_converges_later(resample):
    """§4.2: feed-forward converges much later in CLM and MT, particularly in layers 10-12."""
    times = resample.times()
    later = t90(resample.series(*FEED_FORWARD), times) - t90(resample.series(*ATTENTION), times)
    return [later.mean(), pick(later, 10, 11, 12).mean() - pick(later, *range(1, 10)).mean()]
