"""Judge claims from summaries: a verdict per claim and estimator, with intervals."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from losschange.analysis.resampling import FEWEST_PIECES

from .resamples import Resample, TimeBins
from .verdicts import UNKNOWN, Claim, Condition, Part, Result

DRAWS = 300
INTERVAL = (2.5, 97.5)  # per cent of the resamplings
MOST_UNDEFINED = 0.05
LEARNED = "learned"


class MissingData(ValueError):
    """A claim needs data that was not recorded; the message says which."""


# A training as recorded, and its resamplings.
Replicate = tuple[Resample, list[Resample]]
# Results of the conditions, the models that they are of, and what speaks against a verdict.
Judged = tuple[tuple[Part, ...], list[str], list[str]]


@dataclass
class Evidence:
    """The trainings of one run.

    Parameters
    ----------
    summaries : mapping of model to sequence of Dataset
        One summary per replicate (seed). A subclass that overrides `_replicate` and `objective`
        may hold other records of a training.
    main : mapping of objective to model
        Models that claims about an objective are judged on.
    learned : mapping of model to verdict, or to a sequence of one per replicate
        "learned", or why the model did not; models without a verdict count as having learned.
    draws, seed : int
        Number of resamplings, and their seed.
    """

    summaries: Mapping[str, Sequence[Any]]
    main: Mapping[str, str]
    learned: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    draws: int = DRAWS
    seed: int = 1
    _resamples: dict[tuple[str, str], list[Replicate]] = field(default_factory=dict, repr=False)

    def replicates(self, model: str, estimator: str) -> list[Replicate]:
        """For each replicate, the training as recorded and its resamplings.

        Raises
        ------
        MissingData
            If a replicate was not recorded with the estimator, or has too few records.
        """
        if (model, estimator) not in self._resamples:
            self._resamples[model, estimator] = [
                self._replicate(summary, model, estimator, place)
                for place, summary in enumerate(self.summaries[model])
            ]
        return self._resamples[model, estimator]

    def _replicate(self, summary: xr.Dataset, model: str, estimator: str, place: int) -> Replicate:
        if estimator not in [str(name) for name in summary["estimator"].values]:
            raise MissingData(f"{model} was not recorded with the estimator {estimator}")
        bins = TimeBins(summary, estimator)
        if len(bins.starts) < FEWEST_PIECES:
            raise MissingData(
                f"{model} has {len(bins.starts)} records of {estimator}, too few to resample"
            )
        random = np.random.default_rng([self.seed, zlib.crc32(model.encode()), place])
        drawn = [self.resample(bins, estimator, random) for _ in range(self.draws)]
        return self.resample(bins, estimator), drawn

    def resample(
        self, bins: TimeBins, estimator: str, random: np.random.Generator | None = None
    ) -> Resample:
        """A training as recorded, or a resampling of it; subclasses may know less of it."""
        return Resample(bins, random)

    def forget(self) -> None:
        """Free the memory of all resamplings; when needed, the same ones are drawn again."""
        self._resamples.clear()

    def objective(self, model: str) -> str:
        """The objective that a model was trained for."""
        return str(self.summaries[model][0].attrs["objective"])

    def doubt(self, model: str) -> str | None:
        """Why the LCA of a model is not meaningful; None for a model that learned."""
        verdicts = self.learned.get(model, LEARNED)
        verdicts = [verdicts] if isinstance(verdicts, str) else verdicts
        bad = next((verdict for verdict in verdicts if verdict != LEARNED), None)
        if bad is None:
            return None
        return f"{model} {bad}" if bad != UNKNOWN else f"whether {model} learned is not known"


def judge_claim(claim: Claim, evidence: Evidence, estimator: str) -> Result:
    """Measure and judge one claim; if data is missing, the verdict is "cannot tell"."""
    try:
        if claim.scope == "each":
            parts, models, doubts = _judge_each(claim, evidence, estimator)
        else:
            parts, models, doubts = _judge_together(claim, evidence, estimator)
    except MissingData as error:
        return Result(claim.number, estimator, UNKNOWN, str(error), (), (), 0)
    replicates = min(len(evidence.summaries[model]) for model in models)
    result = Result(claim.number, estimator, UNKNOWN, "", parts, tuple(models), replicates)
    verdict, reason = _decide(claim, result, doubts)
    return Result(claim.number, estimator, verdict, reason, parts, tuple(models), replicates)


def _decide(claim: Claim, result: Result, doubts: Sequence[str]) -> tuple[str, str]:
    if doubts:
        return UNKNOWN, "; ".join(doubts)
    assert result.deciding is not None  # there is a part for every condition
    part, condition = result.parts[result.deciding], claim.conditions[result.deciding]
    reason = f"{condition.name}: {condition.text()}"
    if math.isnan(part.value):
        return UNKNOWN, f"{condition.name}: not defined, a sum is not positive or does not vary"
    if part.verdict == UNKNOWN and math.isnan(part.low):
        return UNKNOWN, f"{condition.name}: not defined in many resamplings"
    if part.verdict == UNKNOWN:
        return UNKNOWN, f"the interval straddles the criterion ({reason})"
    return part.verdict, reason


def _judge_each(claim: Claim, evidence: Evidence, estimator: str) -> Judged:
    """A claim about single models: judged on the main ones, measured on all."""
    wanted = _main_models(claim, evidence)
    others = [
        model
        for model in evidence.summaries
        if model not in wanted and evidence.objective(model) in claim.objectives
    ]
    tables = {model: _table(claim, [model], evidence, estimator) for model in wanted}
    for model in others:
        try:
            tables[model] = _table(claim, [model], evidence, estimator)
        except MissingData:
            continue  # only shown beside the main models
    parts = []
    for place, condition in enumerate(claim.conditions):
        value = condition.worst([tables[model][0][place] for model in wanted])
        draws = [
            condition.worst([tables[model][1][draw, place] for model in wanted])
            for draw in range(evidence.draws)
        ]
        found = {
            model: _interval(values[place], drawn[:, place])
            for model, (values, drawn) in tables.items()
        }
        parts.append(_part(condition, value, np.array(draws), found))
    doubts = [doubt for model in wanted if (doubt := evidence.doubt(model))]
    return tuple(parts), wanted, doubts


def _main_models(claim: Claim, evidence: Evidence) -> list[str]:
    """The main models of the claim's objectives."""
    for objective in claim.objectives:
        if evidence.main.get(objective) not in evidence.summaries:
            raise MissingData(f"no main model of the objective {objective} in this run")
    return [evidence.main[objective] for objective in claim.objectives]


def _judge_together(claim: Claim, evidence: Evidence, estimator: str) -> Judged:
    """A claim that compares models: the main ones, or all that learned."""
    if claim.scope == "main":
        models = _main_models(claim, evidence)
        doubts = [doubt for model in models if (doubt := evidence.doubt(model))]
    else:
        models, doubts = [], []
        for model in evidence.summaries:
            if evidence.objective(model) in claim.objectives and not evidence.doubt(model):
                models.append(model)
        if not models:
            raise MissingData("no model of this run that the claim speaks of has learned")
    values, drawn = _table(claim, models, evidence, estimator)
    parts = [
        _part(condition, values[place], drawn[:, place], {})
        for place, condition in enumerate(claim.conditions)
    ]
    return tuple(parts), models, doubts


def _table(
    claim: Claim, models: Sequence[str], evidence: Evidence, estimator: str
) -> tuple[np.ndarray, np.ndarray]:
    """Values (conditions,) and resampled values (draws, conditions), means over replicates."""
    resamples = {model: evidence.replicates(model, estimator) for model in models}
    if claim.layers is not None:
        for model, replicates in resamples.items():
            _check_layers(claim.layers, model, replicates[0][0])
    number = min(len(replicates) for replicates in resamples.values())
    values, drawn = [], []
    for replicate in range(number):
        recorded = {model: resamples[model][replicate][0] for model in models}
        values.append(_measure(claim, recorded, evidence))
        drawn.append(
            [
                _measure(claim, {m: resamples[m][replicate][1][draw] for m in models}, evidence)
                for draw in range(evidence.draws)
            ]
        )
    # Replicates are resampled too, once for every resampling over time.
    random = np.random.default_rng([evidence.seed, number])
    chosen = random.integers(0, number, (number, evidence.draws))
    picked = np.array(drawn, dtype=float)[chosen, np.arange(evidence.draws)]
    return np.mean(values, axis=0), picked.mean(axis=0)


def _measure(
    claim: Claim, resamples: Mapping[str, Resample], evidence: Evidence
) -> Sequence[float]:
    given: Any = resamples
    if claim.scope == "each":
        (given,) = resamples.values()
    elif claim.scope == "main":
        given = {evidence.objective(model): one for model, one in resamples.items()}
    measured: Sequence[float] = claim.measure(given)
    return measured


def _check_layers(layers: int, model: str, resample: Resample) -> None:
    if resample.layers != layers or resample.border not in (None, layers // 2):
        raise MissingData(
            f"the claim names layers of a model of {layers}, {model} has {resample.layers}"
        )


def _part(
    condition: Condition,
    value: float,
    draws: np.ndarray,
    models: dict[str, tuple[float, float, float]],
) -> Part:
    value, low, high = _interval(value, draws)
    known = not (math.isnan(value) or math.isnan(low))
    verdict = condition.verdict(low, high) if known else UNKNOWN
    return Part(value, low, high, verdict, models)


def _interval(value: float, draws: np.ndarray) -> tuple[float, float, float]:
    """A value and the ends of its interval; the interval always contains the value."""
    value, known = float(value), draws[~np.isnan(draws)]
    if math.isnan(value) or len(known) < (1 - MOST_UNDEFINED) * len(draws):
        return value, math.nan, math.nan
    # Use percentiles without interpolation: interpolating with infinity is not possible.
    low, high = np.percentile(known, INTERVAL, method="inverted_cdf")
    return value, float(min(low, value)), float(max(high, value))


def main_models(summaries: Mapping[str, Sequence[xr.Dataset]]) -> dict[str, str]:
    """The first model of every objective."""
    found: dict[str, str] = {}
    for model, replicates in summaries.items():
        found.setdefault(str(replicates[0].attrs["objective"]), model)
    return dict(sorted(found.items()))
