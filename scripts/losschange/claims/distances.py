"""Distances between models' layer profiles, and tests of grouping: PERMANOVA, neighbours, map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from losschange.analysis.profiles import LAYER_COMPONENTS

from .resamples import Resample, TimeBins

FACTORS = ("objective", "language", "corpus", "size")


def normalised_profile(resample: Resample) -> np.ndarray:
    """Concatenated profiles of the six components, each divided by its absolute sum.

    Returns
    -------
    float array (6 * layers,)
        Without a unit; 0 where a component contributes nothing.
    """
    profiles = resample.profiles(LAYER_COMPONENTS)
    sizes = np.abs(profiles).sum(axis=1, keepdims=True)
    normalised: np.ndarray = np.divide(profiles, sizes, out=profiles.copy(), where=sizes > 0)
    return normalised.ravel()


def profile_distances(profiles: Sequence[np.ndarray]) -> np.ndarray:
    """Euclidean distances (models, models) between normalised profiles."""
    points = np.asarray(profiles)
    return np.asarray(np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=-1)))


def labels_of(attributes: Mapping[str, object]) -> dict[str, str]:
    """A model's value of each of FACTORS; the size is that of its corpus in Table 3."""
    source = str(attributes.get("source_language", ""))
    target = str(attributes.get("target_language", ""))
    corpus = str(attributes.get("corpus", ""))
    other = next((name for name in (source, target) if name != "en"), "de")
    size = "5M" if "wmt" in corpus else "0.7M" if other == "et" else "2M"
    return {
        "objective": str(attributes.get("objective", "")),
        "language": target,
        "corpus": "wmt" if "wmt" in corpus else "europarl",
        "size": size,
    }


def permanova(
    distances: np.ndarray, labels: Sequence[str], permutations: int = 999, seed: int = 1
) -> tuple[float, float, float]:
    """Test whether groups differ: permutational analysis of variance (Anderson 2001).

    Parameters
    ----------
    distances : float array (n, n)
    labels : sequence of str (n,)
    permutations, seed : int
        Number of random permutations of the labels, and their seed.

    Returns
    -------
    (F, share of the squared distances that the groups explain, p)
        NaN if all models are in one group, or each model is in its own group.
    """
    groups = np.unique(labels, return_inverse=True)[1]
    number, count = len(groups), groups.max() + 1
    if count < 2 or count >= number:
        return np.nan, np.nan, np.nan
    squares = np.asarray(distances) ** 2
    total = squares.sum() / (2 * number)

    def explained(order: np.ndarray) -> tuple[float, float]:
        member = np.eye(count)[order]
        within = (np.einsum("ig,ij,jg->g", member, squares, member) / member.sum(axis=0)).sum() / 2
        between = total - within
        if within <= 1e-12 * total:
            return np.inf, between / total
        return (between / (count - 1)) / (within / (number - count)), between / total

    if total == 0:
        return np.nan, np.nan, np.nan
    found, part = explained(groups)
    random = np.random.default_rng(seed)
    others = np.array([explained(random.permutation(groups))[0] for _ in range(permutations)])
    # The tolerance lets permutations with the same grouping count as equal despite rounding.
    higher = (others >= found * (1 - 1e-9)).sum()
    return float(found), float(part), float((higher + 1) / (permutations + 1))


def neighbour_accuracy(distances: np.ndarray, labels: Sequence[str]) -> tuple[float, float]:
    """Share of models whose nearest other model has the same label (leave one out).

    Returns
    -------
    (accuracy, accuracy above chance)
        The second is 1 if all nearest models have the same label, and 0 if as many have it as
        expected at random; NaN if all labels differ or all are equal.
    """
    names = np.asarray(labels)
    others = np.asarray(distances) + np.diag(np.full(len(names), np.inf))
    found = float((names[others.argmin(axis=1)] == names).mean())
    same = (names[:, None] == names).sum(axis=1) - 1
    chance = same.mean() / (len(names) - 1)
    return found, (found - chance) / (1 - chance) if 0 < chance < 1 else np.nan


def classical_scaling(distances: np.ndarray) -> tuple[np.ndarray, float]:
    """Points (n, 2) with approximately the given distances, and their share of the variance.

    Classical multidimensional scaling; the sign of an axis is chosen such that its largest
    absolute value is positive.
    """
    number = len(distances)
    centring = np.eye(number) - 1 / number
    inner = -centring @ (np.asarray(distances) ** 2) @ centring / 2
    values, vectors = np.linalg.eigh(inner)
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    points = vectors[:, :2] * np.sqrt(values[:2])
    largest = np.abs(points).argmax(axis=0)
    points = points * np.where(points[largest, [0, 1]] < 0, -1, 1)
    return points, float(values[:2].sum() / values.sum()) if values.sum() > 0 else np.nan


@dataclass(frozen=True)
class ModelDistances:
    """Distances of all models under one estimator.

    Parameters
    ----------
    models : list of str (n,)
    labels : list of dict (n,)
        Values of FACTORS for each model.
    distances : float array (n, n)
    points : float array (n, 2)
    kept : float
        Share of the variance that the points show.
    """

    models: list[str]
    labels: list[dict[str, str]]
    distances: np.ndarray
    points: np.ndarray
    kept: float


def model_distances(
    summaries: Mapping[str, Sequence[xr.Dataset]], estimator: str
) -> ModelDistances | None:
    """Distances between the models recorded with an estimator, with replicates averaged.

    None for fewer than three models, or models of different depths.
    """
    models, labels, profiles = [], [], []
    for model, replicates in summaries.items():
        if all(estimator in summary["estimator"].values for summary in replicates):
            resamples = [Resample(TimeBins(summary, estimator)) for summary in replicates]
            models.append(model)
            labels.append(labels_of(replicates[0].attrs))
            profiles.append(np.mean([normalised_profile(one) for one in resamples], axis=0))
    if len(models) < 3 or len({len(profile) for profile in profiles}) > 1:
        return None
    distances = profile_distances(profiles)
    return ModelDistances(models, labels, distances, *classical_scaling(distances))
