"""Verdicts on the study's claims, from the records of its trainings."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from losschange.claims import FAILS, HOLDS, UNKNOWN, Claim, Condition, Part, Result

from .records import Records, interval

ESTIMATOR = "batch"


def judge(claim: Claim, records: Records) -> Result:
    """One claim: it holds if all of its conditions do, each in all that it is measured of.

    A condition holds if the whole interval meets it, and does not if the whole interval misses it.
    """
    found = claim.measure(records)
    parts = tuple(
        _part(condition, numbers)
        for condition, numbers in zip(claim.conditions, found, strict=True)
    )
    models = tuple(dict.fromkeys(name for part in parts for name in part.models))
    result = Result(claim.number, ESTIMATOR, UNKNOWN, "", parts, models, 1)
    verdicts = {part.verdict for part in parts}
    verdict = next(each for each in (FAILS, UNKNOWN, HOLDS) if each in verdicts)
    place = result.deciding or 0
    reason = _reason(claim.conditions[place], parts[place])
    return Result(claim.number, ESTIMATOR, verdict, reason, parts, models, 1)


def _part(condition: Condition, numbers: Mapping[str, np.ndarray]) -> Part:
    """A condition, with the numbers of the training that decides it.

    Every training is judged by itself: the worst of several uncertain numbers would look worse
    than any of them is known to be.
    """
    found = {name: interval(one) for name, one in numbers.items()}
    for verdict in (FAILS, UNKNOWN, HOLDS):
        for value, low, high in found.values():
            if verdict == (UNKNOWN if math.isnan(low) else condition.verdict(low, high)):
                return Part(value, low, high, verdict, found)
    return Part(math.nan, math.nan, math.nan, UNKNOWN)


def _reason(condition: Condition, part: Part) -> str:
    if not part.models:
        return f"no training of this run tells: {condition.name}"
    if math.isnan(part.value):
        return f"{condition.name}: not recorded, or not defined"
    if math.isnan(part.low):
        return f"{condition.name}: too few records for an interval"
    if part.verdict == UNKNOWN:
        return f"the interval straddles the criterion ({condition.name}: {condition.text()})"
    return f"{condition.name}: {condition.text()}"
