"""Claims of section 4.5: effects of other languages, corpora and sizes (Figures 5 and 6)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from losschange.claims.distances import (
    FACTORS,
    labels_of,
    neighbour_accuracy,
    normalised_profile,
    permanova,
    profile_distances,
)
from losschange.claims.judging import MissingData
from losschange.claims.resamples import Resample
from losschange.claims.statistics import pick, share, share_of_mean
from losschange.claims.verdicts import Condition

from .registry import CLAIMS

SELF_ATTENTION = ("key", "query", "value", "out")
PERMUTATIONS = 99  # for each resampling; the p value of the run itself is made from 999
P_VALUE = 0.05
LANGUAGES = ("en", "de", "fi", "et")


@CLAIMS.claim(
    29,
    "4.5",
    "The objective, not language, corpus or size, determines the layers' contributions.",
    [
        Condition("p of PERMANOVA by objective", most=P_VALUE),
        Condition("share of models whose nearest neighbour has their objective", least=1.0),
        Condition(
            "that share above chance, less the largest for language, corpus, size", least=0.0
        ),
    ],
    scope="all",
    layers=False,
)
def objective_determines_the_dynamics(resamples: Mapping[str, Resample]):
    """§4.5: profiles depend on the objective, in all data settings.

    Distances are between normalised profiles: PERMANOVA by objective has p ≤ 0.05, the nearest
    neighbour of every model has its objective, and it agrees less often in language, corpus or
    size. The objectives also differ in architecture (MT has two stacks of six layers), which is
    not separated from the objective here.
    """
    labels: dict[str, list[str]] = {name: [] for name in FACTORS}
    for resample in resamples.values():
        for name, label in labels_of(resample.bins.attributes).items():
            labels[name].append(label)
    depths = {resample.layers for resample in resamples.values()}
    objectives, counts = np.unique(labels["objective"], return_counts=True)
    if len(depths) > 1 or len(objectives) < 2 or (counts < 2).any():
        raise MissingData(
            "two models that learned of each of two objectives are needed; there are "
            + ", ".join(f"{n} {o}" for o, n in zip(objectives, counts, strict=True))
        )
    distances = profile_distances([normalised_profile(resample) for resample in resamples.values()])
    resampled = any(resample.resampled for resample in resamples.values())
    p = permanova(distances, labels["objective"], PERMUTATIONS if resampled else 999)[2]
    accuracy = {name: neighbour_accuracy(distances, labels[name]) for name in FACTORS}
    own, above_chance = accuracy.pop("objective")
    rest = [score for _, score in accuracy.values() if not np.isnan(score)]
    return [p, own, above_chance - max(rest, default=0.0)]


@CLAIMS.claim(
    30,
    "4.5",
    "The Estonian MLM, of the smallest corpus, differs most and uses its first layers more.",
    [
        Condition("mean distance to the other MLMs, Estonian less the largest other", least=0.0),
        Condition("share of layers 1, 2 in all components, Estonian less the mean", least=0.0),
    ],
    scope="all",
    objectives=["mlm"],
)
def estonian_masked_model_differs_most(resamples: Mapping[str, Resample]):
    """§4.5: the Estonian MLM differs most, and its first layers contribute a larger share."""
    own = _by_language(resamples, "MLM")
    languages = list(own)
    distances = profile_distances([normalised_profile(own[name]) for name in languages])
    mean = dict(zip(languages, distances.sum(axis=1) / (len(languages) - 1), strict=True))
    first = {}
    for name, resample in own.items():
        profile = resample.profile(*SELF_ATTENTION, "W1", "W2")
        first[name] = share(pick(profile, 1, 2).sum(), profile.sum())
    others = [name for name in languages if name != "et"]
    return [
        mean["et"] - max(mean[name] for name in others),
        first["et"] - np.mean([first[name] for name in others]),
    ]


@CLAIMS.claim(
    31,
    "4.5",
    "The CLM attention responds in earlier layers for English and German than for the others.",
    [Condition("centre of attention, the earlier of fi, et less the later of en, de", "layers", 0)],
    scope="all",
    objectives=["clm"],
)
def english_and_german_respond_earlier(resamples: Mapping[str, Resample]):
    """§4.5: the centre of attention of CLM is in earlier layers for en, de than for fi, et."""
    centres = {}
    for name, resample in _by_language(resamples, "CLM").items():
        profile = resample.profile(*SELF_ATTENTION)
        centres[name] = share(float(profile @ np.arange(1, 13)), profile.sum())
    # Do not use min and max, which ignore NaN.
    return [np.min([centres["fi"], centres["et"]]) - np.max([centres["en"], centres["de"]])]


@CLAIMS.claim(
    32,
    "4.5",
    "The CLM attention peaks in the layers before the last in all four languages.",
    [
        Condition(
            "largest of layers 6-11 less the largest other, smallest of languages",
            "layer's mean",
            0,
        )
    ],
    scope="all",
    objectives=["clm"],
)
def causal_attention_peaks_before_the_end(resamples: Mapping[str, Resample]):
    """§4.5: CLM attention peaks in layers 6-11, before the last, in all four languages."""
    found = []
    for resample in _by_language(resamples, "CLM").values():
        profile = resample.profile(*SELF_ATTENTION)
        others = pick(profile, 1, 2, 3, 4, 5, 12).max()
        found.append(share_of_mean(pick(profile, *range(6, 12)).max() - others, profile))
    return [np.min(found)]


def _by_language(resamples: Mapping[str, Resample], title: str) -> dict[str, Resample]:
    """Models of Europarl by language.

    Raises
    ------
    MissingData
        If there is no model of one of the four languages.
    """
    found: dict[str, Resample] = {}
    for resample in resamples.values():
        labels = labels_of(resample.bins.attributes)
        if labels["corpus"] == "europarl":
            found.setdefault(labels["language"], resample)
    missing = [name for name in LANGUAGES if name not in found]
    if missing:
        raise MissingData(f"no {title} that learned of {', '.join(missing)}")
    return {name: found[name] for name in LANGUAGES}
