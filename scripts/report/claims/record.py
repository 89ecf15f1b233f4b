"""Judge the claims on a run's summaries; make the record (claims.json) for all pages."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import xarray as xr

from losschange.claims import Claim, Evidence, Result, judge_claim, main_models
from losschange.claims.agreement import Agreement, agreements, positive_share
from losschange.claims.distances import FACTORS, model_distances, neighbour_accuracy, permanova
from losschange.claims.judging import DRAWS, INTERVAL, MissingData
from losschange.claims.verdicts import Part
from losschange.cube.estimators import in_order
from report.quality import judge as judge_quality
from report.table_files import read_record

INFINITE = "infinite"
DIGITS = 6
STOCK, MATCHED = "stock", "matched"


def group_by_architecture(summaries: Sequence[xr.Dataset]) -> dict[str, list[xr.Dataset]]:
    """Summaries of every architecture that the run has, stock first."""
    found: dict[str, list[xr.Dataset]] = {}
    for summary in summaries:
        found.setdefault(str(summary.attrs.get("architecture", STOCK)), []).append(summary)
    return {name: found[name] for name in (STOCK, MATCHED) if name in found}


def group_by_model(summaries: Sequence[xr.Dataset]) -> dict[str, list[xr.Dataset]]:
    """Replicates of every model, in the order given."""
    found: dict[str, list[xr.Dataset]] = {}
    for summary in summaries:
        found.setdefault(str(summary.attrs["model"]), []).append(summary)
    return found


def read_verdicts(qualities: Sequence[Path]) -> dict[str, list[str]]:
    """Whether each replicate of each model learned, from quality.json.

    Raises
    ------
    UserError
        If a file is missing or damaged.
    """
    found: dict[str, list[str]] = {}
    for path in qualities:
        record = read_record(path, ("model", "objective", "splits"))
        found.setdefault(record["model"], []).append(judge_quality(record)[0])
    return found


def judge_run(
    summaries: Sequence[xr.Dataset],
    main: Sequence[str],
    learned: Mapping[str, Sequence[str]],
    seed: int,
    claims: Mapping[int | str, Claim],
    draws: int = DRAWS,
    claims_alone: bool = False,
) -> dict:
    """The record of all claims under all estimators of a run.

    Parameters
    ----------
    summaries : sequence of Dataset
        Summaries of all models; the replicates of a model are consecutive.
    main : sequence of str
        Main models; for an objective without a main model, its first model is used.
    learned : mapping of model to verdicts
    seed : int
        Seed of the resampling.
    claims : mapping of number to Claim
        The claims of a study.
    draws : int
        Number of resamplings behind each interval.
    claims_alone : bool
        Leave out the further numbers that only the paper's study shows: how well estimators
        agree, how models group, and shares of positive cells.
    """
    record = {
        "columns": [],
        "main_models": [],
        "interval": list(INTERVAL),
        "draws": draws,
        "seed": seed,
        "agreement": [],
        "positive_shares": {},
        "grouping": [],
        "claims": [claim_record(claims[number]) for number in sorted(claims)],
    }
    for architecture, members in group_by_architecture(summaries).items():
        grouped = group_by_model(members)
        chosen = main_models(grouped) | main_models({m: grouped[m] for m in main if m in grouped})
        evidence = Evidence(grouped, chosen, learned, draws, seed)
        columns = _judge_architecture(record, evidence, architecture, claims)
        if not claims_alone:
            _describe_models(record, evidence, columns)
    return record


def _judge_architecture(
    record: dict, evidence: Evidence, architecture: str, claims: Mapping[int | str, Claim]
) -> dict[str, str]:
    """Add a column per estimator to the record; return the column's name by estimator."""
    recorded = {
        str(name)
        for replicates in evidence.summaries.values()
        for summary in replicates
        for name in summary["estimator"].values
    }
    names = {}
    for estimator in in_order(recorded):
        column = estimator if architecture == STOCK else f"{estimator}, {architecture}"
        names[estimator] = column
        record["columns"].append(
            {"name": column, "estimator": estimator, "architecture": architecture}
        )
        for claim in record["claims"]:
            result = judge_claim(claims[claim["number"]], evidence, estimator)
            claim["results"][column] = result_record(result)
        evidence.forget()  # resamplings of one estimator at a time fit in memory
    record["main_models"] += evidence.main.values()
    return names


def _describe_models(record: dict, evidence: Evidence, columns: Mapping[str, str]) -> None:
    """Add how models group under each estimator, and the numbers of single models."""
    grouped, chosen, estimators = evidence.summaries, evidence.main, list(columns)
    for estimator, column in columns.items():
        record["grouping"].append(_grouping_record(grouped, column, estimator, record["seed"]))
    for model in chosen.values():
        record["agreement"] += map(_agreement_record, agreements(evidence, model, estimators))
    record["positive_shares"] |= _positive_shares(evidence, list(chosen.values()), estimators)


def _agreement_record(found: Agreement) -> dict:
    numbers = {
        name: [number(value) for value in getattr(found, name)]
        for name in ("spearman", "kendall", "cells")
    }
    return {"model": found.model, "first": found.first, "second": found.second, **numbers}


def _positive_shares(evidence: Evidence, models: Sequence[str], estimators: Sequence[str]) -> dict:
    """Share of positive cells by model and estimator; None if it was not recorded."""
    shares: dict[str, dict] = {}
    for model in models:
        shares[model] = {}
        for name in estimators:
            try:
                shares[model][name] = number(positive_share(evidence, model, name))
            except MissingData:
                shares[model][name] = None
    return shares


def _grouping_record(
    grouped: Mapping[str, Sequence[xr.Dataset]], column: str, estimator: str, seed: int
) -> dict:
    """How the profiles of all models group by objective, language and so on, for one estimator."""
    found = model_distances(grouped, estimator)
    factors: dict[str, dict[str, float | str | None]] = {}
    if found is None:
        return {"column": column, "models": [], "factors": factors}
    for factor in FACTORS:
        labels = [label[factor] for label in found.labels]
        ratio, explained, p = permanova(found.distances, labels, seed=seed)
        accuracy, above_chance = neighbour_accuracy(found.distances, labels)
        values = {"F": ratio, "explained": explained, "p": p}
        values |= {"accuracy": accuracy, "above_chance": above_chance}
        factors[factor] = {name: number(value) for name, value in values.items()}
    return {"column": column, "models": found.models, "factors": factors}


def claim_record(claim: Claim) -> dict:
    """The record of a claim before it is judged: without results."""
    return {
        "number": claim.number,
        "section": claim.section,
        "statement": claim.statement,
        "criterion": claim.criterion,
        "method": " ".join((claim.measure.__doc__ or "").split()),
        "conditions": [
            {
                "name": condition.name,
                "unit": condition.unit,
                "least": number(condition.least),
                "most": number(condition.most),
                "range": condition.text(),
            }
            for condition in claim.conditions
        ],
        "results": {},
    }


def result_record(result: Result) -> dict:
    """The record of a result: its verdict, and the numbers of every condition."""
    return {
        "verdict": result.verdict,
        "reason": result.reason,
        "models": list(result.models),
        "replicates": result.replicates,
        "deciding": result.deciding,
        "parts": [_part_record(part) for part in result.parts],
    }


def _part_record(part: Part) -> dict:
    numbers = {name: number(getattr(part, name)) for name in ("value", "low", "high")}
    models = {model: [number(value) for value in found] for model, found in part.models.items()}
    return {**numbers, "verdict": part.verdict, "models": models}


def read_part(record: dict) -> Part:
    """The Part that an entry in claims.json was made from, with rounded numbers."""
    value, low, high = (as_float(record[name]) for name in ("value", "low", "high"))
    models = {
        model: (as_float(middle), as_float(lowest), as_float(highest))
        for model, (middle, lowest, highest) in record["models"].items()
    }
    return Part(value, low, high, record["verdict"], models)


def number(value: float) -> float | str | None:
    """A number for JSON, rounded so that it does not depend on the last bits."""
    if math.isnan(value):
        return None
    if math.isinf(value):
        return INFINITE if value > 0 else f"-{INFINITE}"
    return float(f"{value:.{DIGITS}g}")


def as_float(value: float | str | None) -> float:
    """The inverse of `number`."""
    if value is None:
        return math.nan
    if isinstance(value, str):
        return -math.inf if value.startswith("-") else math.inf
    return float(value)


def as_json(record: dict) -> str:
    """The text of claims.json."""
    return json.dumps(record, indent=1, ensure_ascii=False) + "\n"


def read_claims(path: Path) -> dict:
    """Read claims.json.

    Raises
    ------
    UserError
        If it is missing, no JSON, or lacks what the pages need.
    """
    return read_record(path, ("columns", "claims", "main_models", "draws", "agreement", "grouping"))
