"""Claims on the three parts of one training: what adds up, and what the paper's profiles show.

A measure takes Records and gives, for every condition, numbers (1 + draws,) by what they are of;
none where the run has no training that tells.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.stats import rankdata

from losschange.analysis.conservation import CONSERVED
from losschange.analysis.profiles import LAYER_COMPONENTS
from losschange.claims.verdicts import Condition
from studies.noise.records import Records, interval, layer_contributions, total

from .registry import CLAIMS

HALF_WIDTHS = "half of its interval"
Numbers = dict[str, np.ndarray]


@CLAIMS.claim(
    "N-a",
    "noise",
    "Curvature and noise explain by how much the paper's estimator exceeds the loss change.",
    [
        Condition("(curvature + noise) over (batch − change of the loss)", "1", *CONSERVED),
        Condition("error of the noise from few fresh gradients", HALF_WIDTHS, most=1.0),
    ],
    scope="all",
    layers=False,
)
def parts_explain_the_over_count(records: Records) -> list[Numbers]:
    """The parts add up by construction, so this tests the recording.

    First, that Simpson's rule gives the change of the probe's loss, which is resampled as the
    rule's sum is. Second, in the training that looks at every update, that the noise from as few
    records as the others have contains that from all of them in its interval.
    """
    explained, thinned = {}, {}
    for name, record in records.trainings.items():
        parts = total(record, "curvature") + total(record, "noise")
        error = total(record, "measured")[0] - float(record["loss_change"][0])
        explained[name] = parts / (parts + error)
        if "thinned" in record:
            few = np.append(record["thinned"].values[0], record["thinned_drawn"].values[:, 0])
            value, low, high = interval(few)
            distance = abs(value - total(record, "noise")[0]) / ((high - low) / 2)
            thinned[name] = np.full(len(few), distance)
    return [explained, thinned]


@CLAIMS.claim(
    "N-b",
    "noise",
    "The paper's profiles of the layers are nearer to those of noise than of the loss change.",
    [Condition("Spearman of batch with noise − with measured, mean of the components", least=0.0)],
    scope="all",
    layers=False,
)
def profiles_are_those_of_noise(records: Records) -> list[Numbers]:
    """Rank correlation over the layers within each panel of Figure 1; the difference is above 0."""
    found = {}
    for name in records.models():
        record = records.trainings[name]
        nearness = {
            part: np.mean([_agreement(record, part, one) for one in LAYER_COMPONENTS], axis=0)
            for part in ("noise", "measured")
        }
        found[name] = nearness["noise"] - nearness["measured"]
    return [found]


def _agreement(record: xr.Dataset, part: str, component: str) -> np.ndarray:
    """Rank correlation of the layers' bars with those of a part, in one panel of Figure 1."""
    return _spearman(*(layer_contributions(record, term, component) for term in ("batch", part)))


def _spearman(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Rank correlation (n,) of the rows of two arrays (n, layers)."""
    first, second = (rankdata(values, axis=1) for values in (one, other))
    first, second = (values - values.mean(axis=1, keepdims=True) for values in (first, second))
    size = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    with np.errstate(invalid="ignore"):
        found: np.ndarray = (first * second).sum(axis=1) / size
    return np.where(np.isfinite(one + other).all(axis=1), found, np.nan)
