"""Claims about layers and groups: Z-a to Z-g and Z-i.

A contribution is minus the sum of LCA. Differences are divided by the mean absolute contribution of
what is compared, so they have no unit; they are positive if the claim is true.
"""

from __future__ import annotations

import numpy as np

from losschange.claims.judging import MissingData
from losschange.claims.resamples import Resample, TimeBins
from losschange.claims.statistics import pearson, share_of_mean, spearman
from losschange.claims.verdicts import Condition

from ..agreement import tau
from ..groups import DECODER, ENCODER, WORDS, groups_of_bins
from ..keeping import kept
from ..models import counterpart_of_bins, reference_of_bins
from ..profiles import SUM, dense, profile
from .registry import claim, claim_by_reading

MEAN = "mean"
INTERVALS = 10  # of equally many updates


def _above(name: str) -> Condition:
    """The condition that a difference is above 0."""
    return Condition(name, unit=MEAN, least=0.0)


@claim_by_reading(
    "Z-a",
    "3.1",
    "The sampled gradient ranks the groups as the exact gradient does.",
    [Condition("Kendall's τ-b with the exact gradient", least=0.9)],
    layers=False,
)
def sampled_is_exact(resample: Resample, reading: str) -> list[float]:
    """§3.1, Figure 1: τ = 0.905 of 15 groups, sampled against exact. τ at least 0.9.

    Of unrelated rankings of 15 groups, 5 % are outside ±0.38. The exact gradient is that of a whole
    text; where none was recorded, Simpson's rule or the trapezoid rule on a probe stands for it.
    """
    reference = reference_of_bins(resample.bins)
    if reference is None:
        raise MissingData("neither an exact gradient nor a probe was recorded")
    if reference == resample.bins.estimator:
        raise MissingData(f"{reference} is itself what the others are compared with")
    return [float(tau(profile(resample, reading), profile(resample.under(reference), reading)))]


@claim_by_reading(
    "Z-b",
    "3.2",
    "Embeddings and softmax contribute very little: less than every layer.",
    [_above("smallest layer less the largest of the word matrices")],
    layers=False,
)
def words_contribute_little(resample: Resample, reading: str) -> list[float]:
    """§3.2: embeddings and softmax contribute very little. Each below every layer: > 0."""
    groups = groups_of_bins(resample.bins)
    values = profile(resample, reading)
    layers = values[groups.of_kind(ENCODER) + groups.of_kind(DECODER)]
    return [share_of_mean(layers.min() - values[groups.of_kind(WORDS)].max(), values)]


@claim(
    "Z-c",
    "3.3",
    "The first and the last encoder layer contribute more than those between them.",
    [
        _above("en1 less the mean of en2 to en5"),
        _above("en6 less the mean of en2 to en5"),
    ],
)
def encoder_is_a_sandwich(resample: Resample) -> list[float]:
    """§3.3: en1 and en6 above the middle. Both > 0; layers of a stack are equally large."""
    layers = _stack(resample, ENCODER)
    middle = layers[1:-1].mean()
    return [share_of_mean(layers[end] - middle, layers) for end in (0, -1)]


@claim(
    "Z-d",
    "3.3",
    "The contribution of decoder layers rises with depth, and the last is the largest.",
    [
        Condition("Spearman of layer and contribution", least=0.9),
        _above("de6 less the largest before it"),
    ],
)
def decoder_rises(resample: Resample) -> list[float]:
    """§3.3: contributions increase from bottom to top. Spearman at least 0.9, and argmax de6."""
    layers = _stack(resample, DECODER)
    rise = spearman(np.arange(float(len(layers))), layers)
    return [rise, share_of_mean(layers[-1] - layers[:-1].max(), layers)]


@claim_by_reading(
    "Z-e1",
    "abstract",
    "The last layers contribute most: that of the encoder, and that of the decoder.",
    [
        _above("en6 less the largest other encoder layer"),
        _above("de6 less the largest other decoder layer"),
    ],
)
def last_layers_are_largest(resample: Resample, reading: str) -> list[float]:
    """Abstract: the last layers matter most. Both > 0. The conclusion says otherwise: Z-e2."""
    return [_lead(_stack(resample, kind, reading), -1) for kind in (ENCODER, DECODER)]


@claim_by_reading(
    "Z-e2",
    "5",
    "The first encoder layer and the last decoder layer contribute most.",
    [
        _above("en1 less the largest other encoder layer"),
        _above("de6 less the largest other decoder layer"),
    ],
)
def first_encoder_and_last_decoder_are_largest(resample: Resample, reading: str) -> list[float]:
    """§5: the first layer of the encoder and the last of the decoder. Both > 0."""
    return [
        _lead(_stack(resample, ENCODER, reading), 0),
        _lead(_stack(resample, DECODER, reading), -1),
    ]


@claim(
    "Z-f",
    "3.4",
    "In every interval of training higher layers contribute more.",
    [
        Condition(f"share of {INTERVALS} intervals that rise, {kind}", least=0.95)
        for kind in (ENCODER, DECODER)
    ],
)
def higher_layers_lead_throughout(resample: Resample) -> list[float]:
    """§3.4: of equal intervals, those with Spearman(layer, contribution) > 0. All of them.

    Layers in random order give one half.
    """
    return list(_rising(resample.bins)[resample.chosen(INTERVALS)].mean(axis=0))


@kept
def _rising(bins: TimeBins) -> np.ndarray:
    """Whether contributions rise with depth (intervals, stacks)."""
    curves = bins.cached("curves", tuple(bins.components))
    sums = np.stack([part.sum(axis=0) for part in np.array_split(curves, INTERVALS)])
    stacks = np.split(sums, [bins.border or 0], axis=1)
    return np.array(
        [[spearman(np.arange(float(len(one))), one) > 0 for one in layers] for layers in stacks]
    ).T


@claim_by_reading(
    "Z-g",
    "3.2",
    "Groups contribute alike on training and on held-out text.",
    [Condition("correlation of the groups' contributions, train and test", least=0.9)],
    layers=False,
)
def train_is_test(resample: Resample, reading: str) -> list[float]:
    """§3.2: the curves of train and test are alike. Pearson's r at least 0.9."""
    other = counterpart_of_bins(resample.bins)
    if other is None:
        raise MissingData("no estimator on other text was recorded to compare with")
    return [pearson(profile(resample, reading), profile(resample.under(other), reading))]


@claim_by_reading(
    "Z-i",
    "3.2",
    "All encoder layers together contribute about as much as all decoder layers.",
    [Condition("encoder over decoder", least=0.5, most=2.0)],
    layers=False,
)
def encoder_is_decoder(resample: Resample, reading: str) -> list[float]:
    """§3.2: en_dense and de_dense are nearly the same. The ratio is between one half and two."""
    groups = groups_of_bins(resample.bins)
    values = profile(resample, SUM)
    encoder, decoder = (dense(values, groups, kind, reading) for kind in (ENCODER, DECODER))
    return [encoder / decoder if decoder > 0 else np.nan]


def _stack(resample: Resample, kind: str, reading: str = SUM) -> np.ndarray:
    """Contributions of the layers of a stack."""
    groups = groups_of_bins(resample.bins)
    return profile(resample, reading)[groups.of_kind(kind)]


def _lead(layers: np.ndarray, place: int) -> float:
    """How far a layer is above all others."""
    return share_of_mean(layers[place] - np.delete(layers, place).max(), layers)
