"""Claims, the results of judging them, and the rule from an interval to a verdict."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

HOLDS = "holds"
FAILS = "does not hold"
UNKNOWN = "cannot tell"


@dataclass(frozen=True)
class Condition:
    """One statistic of a claim and the range that it must lie in.

    Parameters
    ----------
    name : str
        Description of the statistic.
    unit : str
        "1" for a number without a unit.
    least, most : float
        The range, including its ends; but least = 0 means above 0.
    """

    name: str
    unit: str = "1"
    least: float = -math.inf
    most: float = math.inf

    def text(self) -> str:
        """The range in words, such as "at least 0.5"."""
        if math.isinf(self.most):
            return f"at least {self.least:.3g}" if self.least else "above 0"
        if math.isinf(self.least):
            return f"at most {self.most:.3g}"
        return f"from {self.least:.3g} to {self.most:.3g}"

    def verdict(self, low: float, high: float) -> str:
        """The verdict for an interval that lies inside, outside or partly inside the range."""
        # least = 0 means "above 0": a difference of exactly 0 is no difference.
        enough = low > 0 if self.least == 0 else low >= self.least
        little = high <= 0 if self.least == 0 else high < self.least
        if enough and high <= self.most:
            return HOLDS
        return FAILS if little or low > self.most else UNKNOWN

    def worst(self, values: list[float]) -> float:
        """The value closest to violating the condition, or violating it most; NaN if any is NaN."""
        if any(math.isnan(value) for value in values):
            return math.nan
        if math.isinf(self.most):
            return min(values)
        if math.isinf(self.least):
            return max(values)
        middle = (self.least + self.most) / 2
        return max(values, key=lambda value: abs(value - middle))


@dataclass(frozen=True)
class Claim:
    """One statement of the paper that can be checked.

    Parameters
    ----------
    number : int or str
        As in the study's list of claims.
    section : str
        Of the study's paper.
    statement : str
        The statement in one sentence, in our own words.
    conditions : tuple of Condition
        The claim holds if all of them do.
    scope : str
        "each": true of every objective's main model by itself; "main": of the main models named
        in `objectives` together; "all": of every model of the run.
    objectives : tuple of str
        Objectives concerned.
    layers : int or None
        Number of layers of the models whose layers it names; None if it names no layers.
    measure : callable
        Takes a Resample ("each") or a mapping of objective ("main") or model ("all") to Resample;
        gives one number per condition, NaN where it is not defined.
    """

    number: int | str
    section: str
    statement: str
    conditions: tuple[Condition, ...]
    scope: str
    objectives: tuple[str, ...]
    layers: int | None
    measure: Callable[..., Any] = field(repr=False, compare=False)

    @property
    def criterion(self) -> str:
        """All conditions in one sentence."""
        return "; ".join(f"{c.name}: {c.text()}" for c in self.conditions)


@dataclass(frozen=True)
class Part:
    """The result for one condition of a claim.

    `value` is the mean over the replicates; `low` and `high` bound 95 % of the resamplings. All
    are NaN where the number is not defined. `models` holds the same three numbers by model.
    """

    value: float
    low: float
    high: float
    verdict: str
    models: dict[str, tuple[float, float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """A claim judged under one estimator.

    Parameters
    ----------
    number : int or str
    estimator : str
    verdict : {"holds", "does not hold", "cannot tell"}
    reason : str
        The deciding condition, or why there is no verdict.
    parts : tuple of Part
        One for each condition of the claim; empty if nothing could be measured.
    models : tuple of str
        Models used.
    replicates : int
        Trainings of each model used.
    """

    number: int | str
    estimator: str
    verdict: str
    reason: str
    parts: tuple[Part, ...]
    models: tuple[str, ...]
    replicates: int

    @property
    def deciding(self) -> int | None:
        """Index of the deciding condition: the first that fails or has no verdict."""
        for verdict in (FAILS, UNKNOWN, HOLDS):
            for place, part in enumerate(self.parts):
                if part.verdict == verdict:
                    return place
        return None

    @property
    def value(self) -> float:
        """The number of the deciding condition; NaN without one."""
        return math.nan if self.deciding is None else self.parts[self.deciding].value

    @property
    def low(self) -> float:
        """Lower end of its interval."""
        return math.nan if self.deciding is None else self.parts[self.deciding].low

    @property
    def high(self) -> float:
        """Upper end of its interval."""
        return math.nan if self.deciding is None else self.parts[self.deciding].high
