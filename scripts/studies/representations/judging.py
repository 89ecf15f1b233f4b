"""Judge the study's claims; the record has the form that report.claims shows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from losschange.claims.verdicts import UNKNOWN, Claim, Condition, Part, Result
from report.claims.record import claim_record, result_record

from .claims import CLAIMS
from .claims.comparing import relation_of
from .claims.numbers import Number, Space, Spaces, pwcca_distance

LEARNED = "learned"
MATCHED = ".matched"
DIGITS = 6


def read_spaces(
    results: Path, models: Mapping[str, Sequence[str]], pairs: Sequence[Sequence[str]]
) -> dict[str, list[Spaces]]:
    """What is known of every architecture: one Spaces for every seed.

    Parameters
    ----------
    results : path
        Results folder of the run.
    models : mapping of model to its trainings
    pairs : sequence of (kind, first, second)
        As in studies.representations.spaces.Pair.
    """
    measured = {
        (first, second): (
            kind,
            pwcca_distance(xr.load_dataset(results / f"comparisons/{first}+{second}.nc")),
        )
        for kind, first, second in pairs
    }
    found: dict[str, list[Spaces]] = {}
    for architecture in ("stock", "matched"):
        names = [name for name in models if name.endswith(MATCHED) == (architecture == "matched")]
        if not names:
            continue
        seeds = min(len(models[name]) for name in names)
        own = {training for name in names for training in models[name]}
        others = {
            kind: [
                distance
                for (first, _), (of, distance) in measured.items()
                if of == kind and first in own
            ]
            for kind in ("languages", "seeds")
        }
        found[architecture] = [
            _spaces(results, {name: models[name][seed] for name in names}, measured, others)
            for seed in range(seeds)
        ]
    return found


def _spaces(
    results: Path,
    trainings: Mapping[str, str],
    measured: Mapping[tuple[str, str], tuple[str, Number]],
    others: Mapping[str, Sequence[Number]],
) -> Spaces:
    models = {}
    for training in trainings.values():
        over_training = results / f"over_training/{training}.nc"
        models[_objective(training)] = Space(
            xr.load_dataset(results / f"spaces/{training}.nc"),
            xr.load_dataset(results / f"hidden_words/{training}.nc"),
            xr.load_dataset(over_training) if over_training.is_file() else None,
        )
    by_objective = {_objective(training): training for training in trainings.values()}

    def distance(first: str, second: str) -> Number:
        one, two = by_objective[first], by_objective[second]
        return measured[(one, two) if (one, two) in measured else (two, one)][1]

    return Spaces(models, distance, others)


def _objective(training: str) -> str:
    return training.partition("-")[0]


def judge(
    spaces: Mapping[str, Sequence[Spaces]],
    models: Mapping[str, Sequence[str]],
    learned: Mapping[str, Sequence[str]],
    draws: int,
) -> dict:
    """The record of all claims, with a column for every architecture.

    Parameters
    ----------
    spaces : mapping of architecture to one Spaces per seed
    models : mapping of model to its trainings
    learned : mapping of model to a verdict per training
    draws : int
        Halves of the sentences that the intervals come from.
    """
    record: dict = {
        "columns": [],
        "main_models": [name for name in models if not name.endswith(MATCHED)],
        "draws": draws,
        "agreement": [],
        "grouping": [],
        "claims": [claim_record(CLAIMS[place]) for place in sorted(CLAIMS)],
        "relations": _relations(spaces.get("stock", ()), models),
    }
    for architecture, seeds in spaces.items():
        record["columns"].append(
            {"name": architecture, "estimator": "batch", "architecture": architecture}
        )
        names = {
            _objective(name): name
            for name in models
            if name.endswith(MATCHED) == (architecture == "matched")
        }
        for claim in record["claims"]:
            result = judge_claim(CLAIMS[claim["number"]], seeds, names, learned)
            claim["results"][architecture] = result_record(result)
    return record


def _relations(seeds: Sequence[Spaces], models: Mapping[str, Sequence[str]]) -> list[dict]:
    """How loss change and change of states go together in the layers of every main training."""
    found = []
    for place, each in enumerate(seeds):
        for objective, space in each.models.items():
            known = None if space.over_training is None else relation_of(space.over_training)
            if known is None:
                continue
            [training] = [
                trainings[place]
                for name, trainings in models.items()
                if _objective(name) == objective and not name.endswith(MATCHED)
            ]
            low, high = float(known.null.min()), float(known.null.max())
            correlation = round(known.correlation, DIGITS)
            null = [round(low, DIGITS), round(high, DIGITS)]
            found.append({"training": training, "correlation": correlation, "null": null})
    return found


def judge_claim(
    claim: Claim,
    seeds: Sequence[Spaces],
    names: Mapping[str, str],
    learned: Mapping[str, Sequence[str]],
) -> Result:
    """One claim on the models of one architecture: the mean over seeds, with its interval.

    Parameters
    ----------
    claim : Claim
    seeds : sequence of Spaces
    names : mapping of objective to model
    learned : mapping of model to a verdict per training
    """
    missing = [objective for objective in claim.objectives if objective not in names]
    if missing:
        reason = f"no main model of the objective {', '.join(missing)} in this run"
        return Result(claim.number, "batch", UNKNOWN, reason, (), (), 0)
    used = tuple(names[objective] for objective in claim.objectives)
    measured = [claim.measure(each) for each in seeds]
    parts = tuple(
        _part(condition, [numbers[place] for numbers in measured])
        for place, condition in enumerate(claim.conditions)
    )
    doubts = [
        f"{name} {verdict}"
        for name in used
        for verdict in dict.fromkeys(learned.get(name, ()))
        if verdict != LEARNED
    ]
    result = Result(claim.number, "batch", UNKNOWN, "; ".join(doubts), parts, used, len(seeds))
    if doubts:
        return result
    part, condition = parts[result.deciding or 0], claim.conditions[result.deciding or 0]
    reason = f"{condition.name}: {condition.text()}"
    if math.isnan(part.value):
        reason = f"{condition.name}: not measured in this run"
    elif part.verdict == UNKNOWN:
        reason = f"the interval straddles the criterion ({reason})"
    return Result(claim.number, "batch", part.verdict, reason, parts, used, len(seeds))


def _part(condition: Condition, numbers: Sequence[Number]) -> Part:
    """The mean over seeds; the variance within seeds and that between them add up."""
    values = np.array([one.value for one in numbers])
    ends = np.array([one.interval for one in numbers])
    value = float(values.mean())
    between = values.std(ddof=1) if len(values) > 1 else 0.0
    # Half an interval is 1.96 standard errors.
    reach = np.sqrt(
        (np.square(ends - values[:, None]).mean(axis=0) + np.square(1.96 * between)) / len(values)
    )
    low, high = value - float(reach[0]), value + float(reach[1])
    known = not (math.isnan(value) or math.isnan(low))
    return Part(value, low, high, condition.verdict(low, high) if known else UNKNOWN)
