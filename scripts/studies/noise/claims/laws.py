"""Claims on how noise depends on the batch, the optimizer and the objective.

Noise is that of an update in the second half of training. Measures are as in `parts`.
"""

from __future__ import annotations

import numpy as np

from losschange.claims.verdicts import Condition
from studies.noise.laws import SLOPES, measured_over_count, predicted_over_count, slope
from studies.noise.records import Records, late_noise, share, total
from studies.noise.variants import EQUAL_TARGETS, MOMENTUM

from .registry import CLAIMS

Numbers = dict[str, np.ndarray]
# By how much a measured slope may differ from the predicted one.
TOLERANCE = 0.2
ALIKE = (0.67, 1.5)


@CLAIMS.claim(
    "N-c",
    "noise",
    "The noise of an update falls with the batch as 1/√B under Adam and as 1/B under SGD.",
    [
        Condition(
            f"exponent of B in the noise of an update, {optimizer}",
            "1",
            predicted - TOLERANCE,
            predicted + TOLERANCE,
        )
        for optimizer, predicted in SLOPES.items()
    ],
    scope="all",
    layers=False,
)
def noise_falls_with_the_batch(records: Records) -> list[Numbers]:
    """Least squares of log noise on log B, at least two sizes; within 0.2 of the prediction."""
    found: list[Numbers] = []
    for optimizer in SLOPES:
        ladders = {model: records.ladder(model, optimizer) for model in records.models()}
        found.append({model: slope(one) for model, one in ladders.items() if len(one) > 1})
    return found


@CLAIMS.claim(
    "N-d",
    "noise",
    "With momentum β at the same effective rate, noise is 1 − β times that of plain SGD.",
    [Condition("noise with momentum over noise without, divided by 1 − β", "1", 0.8, 1.25)],
    scope="all",
    layers=False,
)
def momentum_leaves_a_share_of_noise(records: Records) -> list[Numbers]:
    """Only the share of the step that the newest gradient made agrees with its noise."""
    found = {}
    for model in records.models():
        variants = records.variants(model)
        plain, heavy = variants.get("sgd-batch-1"), variants.get(MOMENTUM)
        if plain is not None and heavy is not None:
            left = 1 - float(heavy.attrs["momentum"])
            found[model] = late_noise(heavy) / late_noise(plain) / left
    return [found]


@CLAIMS.claim(
    "N-e",
    "noise",
    "With as many targets in an update, an MLM is no noisier than a CLM.",
    [Condition("noise over measured part, of the MLM over that of the CLM", "1", *ALIKE)],
    scope="all",
    objectives=["clm", "mlm"],
    layers=False,
)
def objectives_are_as_noisy_with_equal_targets(records: Records) -> list[Numbers]:
    """The paper's Table 1 and Figure 4 show a noisier MLM, with 15 % of the targets."""
    noisiness = equal_targets(records)
    if not {"clm", "mlm"} <= noisiness.keys():
        return [{}]
    return [{"MLM over CLM": noisiness["mlm"][1] / noisiness["clm"][1]}]


@CLAIMS.claim(
    "N-f",
    "noise",
    "At the paper's settings, most of its bars is noise.",
    [
        Condition("predicted over-count at the paper's settings", "1", least=2.0),
        Condition("share of noise, measured at the paper's settings", "1", least=0.5),
    ],
    scope="all",
    layers=False,
)
def most_is_noise_at_the_papers_settings(records: Records) -> list[Numbers]:
    """A prediction from runs at several batch sizes; a training at that size judges it."""
    predicted, measured = {}, {}
    for model in records.models():
        record = records.trainings[model]
        if len(records.ladder(model, str(record.attrs["optimizer"]))) > 1:
            predicted[model] = predicted_over_count(records, model)
        if measured_over_count(records, model) is not None:
            measured[model] = share(record, "noise")
    return [predicted, measured]


def equal_targets(records: Records) -> dict[str, tuple[str, np.ndarray]]:
    """Name of a training and its noise over its measured part, by objective.

    Of trainings with as many targets in an update: variants made for this, and the language model
    that they are made to equal. Empty without such variants.
    """
    found: dict[str, tuple[str, np.ndarray]] = {}
    variants = {model: records.variants(model).get(EQUAL_TARGETS) for model in records.models()}
    if all(variant is None for variant in variants.values()):
        return found
    for model, variant in variants.items():
        record = records.trainings[model] if variant is None else variant
        objective = str(record.attrs["objective"])
        if objective in ("clm", "mlm"):
            noise = total(record, "noise") / total(record, "measured")
            found[objective] = (str(record.attrs["model"]), noise)
    return found
