"""How noise depends on the batch and the optimizer: fits, and what they predict for the paper.

With a step -rate * P * g, the noise of an update is -rate * tr(P C) / B. Under SGD P is constant.
Adam's P falls as 1 / sqrt(g^2), and g^2 as 1 / B where noise fills it, so that noise goes with
1 / sqrt(B).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from .records import Records, late_noise, late_rate, late_targets, over_count, total

# Exponent of B that is predicted for the noise of an update, by optimizer.
SLOPES = {"adam": -0.5, "sgd": -1.0}


@dataclass(frozen=True)
class PaperSettings:
    """Settings of the paper's trainings (its Table 2) that the over-count depends on.

    Attributes
    ----------
    tokens : int
        Per update.
    updates, warmup_updates : int
    learning_rate : float
        Its peak; it rises and falls linearly.
    vocabulary : int
    """

    tokens: int = 32_768
    updates: int = 125_000
    warmup_updates: int = 8_000
    learning_rate: float = 5e-4
    vocabulary: int = 32_000

    @property
    def rate(self) -> float:
        """Sum of the learning rates of all updates: warm-up and decay are triangles."""
        return self.learning_rate * self.updates / 2

    def targets(self, record: xr.Dataset) -> float:
        """Target tokens per update, if the share of the tokens that is predicted stays."""
        return self.tokens * float(record.attrs["predicted_share"])


PAPER = PaperSettings()
ASSUMPTIONS = (
    "per unit of learning rate, noise is as large as in the second half of this run's training",
    "it falls with the batch as between this run's batch sizes",
    "it does not depend on the size of the model, which no training here varies",
    "the loss falls by the same share of the logarithm of the vocabulary's size",
    "curvature is left out",
)
# A training counts as one at the paper's settings within this factor of targets and updates.
CLOSE = 1.25


def slope(ladder: list[xr.Dataset]) -> np.ndarray:
    """Exponent of B in the noise of an update (1 + draws,), least squares in logarithms.

    NaN with fewer than two sizes, or where noise is not above 0.
    """
    noise = np.array([late_noise(record) for record in ladder])
    if len(ladder) < 2:
        return np.full(noise.shape[-1] if len(ladder) else 1, np.nan)
    size = np.log([late_targets(record) for record in ladder])
    with np.errstate(invalid="ignore", divide="ignore"):
        height = np.log(noise)
    size = size - size.mean()
    found: np.ndarray = size @ height / (size @ size)
    return found


def predicted_over_count(records: Records, model: str) -> np.ndarray:
    """Over-count at the paper's settings (1 + draws,), from a model and its batch sizes.

    ASSUMPTIONS says what it takes for granted. NaN where noise or its slope is not known.
    """
    record = records.trainings[model]
    exponent = slope(records.ladder(model, str(record.attrs["optimizer"])))
    fall = -total(record, "measured")
    fall = fall * np.log(PAPER.vocabulary) / np.log(records.vocabulary)
    ratio = PAPER.targets(record) / late_targets(record)
    noise = late_noise(record) / late_rate(record) * PAPER.rate * ratio**exponent
    return 1 + noise / fall


def measured_over_count(records: Records, model: str) -> np.ndarray | None:
    """Over-count (1 + draws,) of a training at the paper's settings; None for any other."""
    record = records.trainings[model]
    asked = (PAPER.targets(record), PAPER.updates)
    ran = (float(record["targets"][0]), int(record.attrs["updates"]))
    close = all(1 / CLOSE <= one / other <= CLOSE for one, other in zip(ran, asked, strict=True))
    return over_count(record) if close else None
