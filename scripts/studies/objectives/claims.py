"""Claims O1 to O6: is a profile that of the objective, or that of the architecture?

Profiles are compared by their shapes: the contributions of each of the six components are divided
by their absolute sum over the layers that are compared. Distances are Euclidean, without a unit.
Twelve layers are compared with six by joining neighbours, as in the paper study's claim 13.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from losschange.analysis.profiles import LAYER_COMPONENTS
from losschange.claims.distances import normalised_profile
from losschange.claims.judging import MissingData
from losschange.claims.registry import ClaimList
from losschange.claims.resamples import Resample
from losschange.claims.two_factors import explained_beyond
from losschange.claims.verdicts import Condition

from .factors import FUTURE, STACKS, distances_of, labels_of

CLAIMS = ClaimList(objectives=("clm", "plm", "mlm", "mt", "dae"), layers=12)
Part = Callable[[np.ndarray], np.ndarray]


def first_half(profile: np.ndarray) -> np.ndarray:
    """Layers 1 to 6: the encoder of two stacks."""
    return profile[:6]


def second_half(profile: np.ndarray) -> np.ndarray:
    """Layers 7 to 12: the decoder of two stacks."""
    return profile[6:]


def joined(profile: np.ndarray) -> np.ndarray:
    """Twelve layers as six."""
    return profile.reshape(6, 2).mean(axis=1)


def shape(resample: Resample, part: Part) -> np.ndarray:
    """Normalised profile (36,) of six layers of a model."""
    profiles = [part(resample.profile(name)) for name in LAYER_COMPONENTS]
    sizes = [np.abs(profile).sum() for profile in profiles]
    return np.concatenate([p / s if s > 0 else p for p, s in zip(profiles, sizes, strict=True)])


def nearer(one: np.ndarray, near: np.ndarray, far: np.ndarray) -> float:
    """Distance to `far` less distance to `near`."""
    return float(np.linalg.norm(one - far) - np.linalg.norm(one - near))


@CLAIMS.claim(
    "O1",
    "4.1",
    "The denoising encoder's profile is nearer to MT's encoder than to the MLM's lower half.",
    [Condition("distance to the MLM's layers 1-6 less that to MT's encoder", least=0.0)],
    objectives=["mlm", "mt", "dae"],
)
def denoising_encoder_is_like_translation(resamples: Mapping[str, Resample]):
    """Same information as the MLM, same architecture as MT: nearer to MT if > 0."""
    encoders = {name: shape(resamples[name], first_half) for name in ("mlm", "mt", "dae")}
    return [nearer(encoders["dae"], encoders["mt"], encoders["mlm"])]


@CLAIMS.claim(
    "O2",
    "4.1",
    "The prefix LM's profile lies between the CLM's and the MLM's.",
    [
        Condition("place on the line from the CLM (0) to the MLM (1)", least=0.0, most=1.0),
        Condition("distance to the farther one over the distance of the two", most=1.0),
    ],
    objectives=["clm", "plm", "mlm"],
)
def prefix_model_is_between(resamples: Mapping[str, Resample]):
    """Projected on the line between them it is inside, and not farther from one than they are."""
    found = {name: normalised_profile(one) for name, one in resamples.items()}
    line, place = found["mlm"] - found["clm"], found["plm"] - found["clm"]
    length = np.linalg.norm(line)
    if length == 0:
        return [np.nan, np.nan]
    farther = max(np.linalg.norm(place), np.linalg.norm(found["plm"] - found["mlm"]))
    return [float(place @ line / length**2), float(farther / length)]


@CLAIMS.claim(
    "O3",
    "4.1",
    "MT's encoder is nearer to the MLM than to the CLM.",
    [Condition("distance to the CLM less that to the MLM", least=0.0)],
    objectives=["clm", "mlm", "mt"],
)
def translation_encoder_is_like_a_masked_model(resamples: Mapping[str, Resample]):
    """§4.1: the encoder behaves like an MLM, because it sees all tokens. > 0."""
    return [_encoder_to_masked(resamples, "mt")]


@CLAIMS.claim(
    "O4",
    "4.1",
    "The denoising encoder is nearer to the MLM than to the CLM.",
    [Condition("distance to the CLM less that to the MLM", least=0.0)],
    objectives=["clm", "mlm", "dae"],
)
def denoising_encoder_is_like_a_masked_model(resamples: Mapping[str, Resample]):
    """As O3, for another objective with an encoder that sees all tokens. > 0."""
    return [_encoder_to_masked(resamples, "dae")]


@CLAIMS.claim(
    "O5",
    "4.1",
    "The decoders of MT and of the denoising model are nearer to the CLM than to the MLM.",
    [
        Condition(f"distance of {title}'s decoder to the MLM less that to the CLM", least=0.0)
        for title in ("MT", "DAE")
    ],
    objectives=["clm", "mlm", "mt", "dae"],
)
def decoders_are_like_a_causal_model(resamples: Mapping[str, Resample]):
    """§4.1: the decoder behaves like a CLM. Both > 0."""
    causal, masked = (shape(resamples[name], joined) for name in ("clm", "mlm"))
    decoders = [shape(resamples[name], second_half) for name in ("mt", "dae")]
    return [nearer(decoder, causal, masked) for decoder in decoders]


@CLAIMS.claim(
    "O6",
    "4.5",
    "Architecture explains more of the distances between models than what the objective sees.",
    [Condition("share explained by one or two stacks less that by the future seen", least=0.0)],
    scope="all",
    layers=False,
)
def architecture_explains_more(resamples: Mapping[str, Resample]):
    """PERMANOVA with two factors, each beyond the other. Below 0, the objective explains more."""
    models = list(resamples.values())
    distances, labels = distances_of(models), labels_of(models)
    shares = [
        explained_beyond(distances, labels[factor], labels[other])
        for factor, other in ((STACKS, FUTURE), (FUTURE, STACKS))
    ]
    if np.isnan(shares).any():
        raise MissingData(
            "the models that learned do not cross the number of stacks with what is seen, or are "
            "too few: four at least, of both factors' levels"
        )
    return [shares[0] - shares[1]]


def _encoder_to_masked(resamples: Mapping[str, Resample], objective: str) -> float:
    causal, masked = (shape(resamples[name], joined) for name in ("clm", "mlm"))
    return nearer(shape(resamples[objective], first_half), masked, causal)
