"""The list of the claims, and claims that are judged under both readings of the groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Protocol

from losschange.claims.registry import ClaimList
from losschange.claims.resamples import Resample
from losschange.claims.verdicts import Condition

from ..profiles import PER_PARAMETER, SUM

CLAIMS = ClaimList(("mt",), layers=12)


class MeasureByReading(Protocol):
    """Measures the statistics of a claim under a reading of the groups."""

    def __call__(self, resample: Resample, reading: str) -> list[float]: ...


def claim(
    number: str, section: str, statement: str, conditions: Sequence[Condition], layers: bool = True
) -> Callable[[Callable], Callable]:
    """Add a claim that is judged on single models; see ClaimList.claim."""
    return CLAIMS.claim(number, section, statement, conditions, scope="each", layers=layers)


def claim_by_reading(
    number: str, section: str, statement: str, conditions: Sequence[Condition], layers: bool = True
) -> Callable[[Callable], Callable]:
    """Add a claim as the paper means it, per parameter, and once more of the sums.

    The decorated function takes a Resample and a reading.
    """

    def put(measure: MeasureByReading) -> Callable:
        for reading, suffix in ((PER_PARAMETER, ""), (SUM, "-sum")):
            found = wraps(measure)(partial(measure, reading=reading))
            ending = "" if reading == PER_PARAMETER else " (sums instead of means per parameter)"
            claim(number + suffix, section, statement + ending, conditions, layers)(found)
        return measure

    return put
