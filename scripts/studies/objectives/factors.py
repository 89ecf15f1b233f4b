"""The two factors that the objectives cross: number of stacks, and whether the future is seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from losschange.claims.distances import normalised_profile, profile_distances
from losschange.claims.judging import INTERVAL, Evidence, MissingData
from losschange.claims.resamples import Resample
from losschange.claims.two_factors import Effect, explained_beyond, permanova_beyond
from objectives import OBJECTIVES

STACKS, FUTURE = "stacks of layers", "text after the predicted token"
DRAWS = 200


@dataclass(frozen=True)
class FactorRow:
    """One factor under one estimator: its effect, and the 95 % interval of what it explains."""

    estimator: str
    factor: str
    models: int
    effect: Effect
    low: float
    high: float


def labels_of(resamples: Sequence[Resample]) -> dict[str, list[str]]:
    """The label of every training for each of the two factors."""
    seen = [OBJECTIVES[str(one.bins.attributes["objective"])].sees_future for one in resamples]
    return {
        STACKS: ["one" if one.border is None else "two" for one in resamples],
        FUTURE: ["seen" if future else "not seen" for future in seen],
    }


def distances_of(resamples: Sequence[Resample]) -> np.ndarray:
    """Distances (models, models) between the normalised profiles.

    Raises
    ------
    MissingData
        If the models differ in their number of layers.
    """
    if len({one.layers for one in resamples}) > 1:
        raise MissingData("the models have different numbers of layers")
    return profile_distances([normalised_profile(one) for one in resamples])


def factor_rows(
    summaries: Mapping[str, Sequence[xr.Dataset]], estimator: str, seed: int
) -> list[FactorRow]:
    """Both factors under an estimator, each beyond the other.

    Intervals resample the noise of each training around its course; the first training of each
    model is used. Empty if the models recorded with the estimator do not cross the factors.
    """
    recorded = {
        model: found[:1]
        for model, found in summaries.items()
        if estimator in [str(name) for name in found[0]["estimator"].values]
    }
    evidence = Evidence(recorded, {}, draws=DRAWS, seed=seed)
    try:
        found = [evidence.replicates(model, estimator)[0] for model in recorded]
        whole = [one for one, _ in found]
        distances, labels = distances_of(whole), labels_of(whole)
        drawn = [distances_of([draws[n] for _, draws in found]) for n in range(DRAWS)]
    except (MissingData, ValueError):
        return []
    rows = []
    for factor, other in ((STACKS, FUTURE), (FUTURE, STACKS)):
        effect = permanova_beyond(distances, labels[factor], labels[other], seed=seed)
        if np.isnan(effect.explained):
            return []
        shares = [explained_beyond(one, labels[factor], labels[other]) for one in drawn]
        low, high = np.percentile(shares, INTERVAL)
        low, high = min(low, effect.explained), max(high, effect.explained)
        rows.append(FactorRow(estimator, factor, len(whole), effect, float(low), float(high)))
    return rows
