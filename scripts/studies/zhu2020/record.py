"""The record of the study's claims: verdicts under every estimator, and the courses of tau."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import xarray as xr

from losschange.claims import Evidence, judge_claim
from losschange.claims.judging import DRAWS, INTERVAL
from losschange.claims.resamples import TimeBins
from report.claims.record import STOCK, claim_record, group_by_model, number, result_record

from .agreement import null_bound, split_half, tau_course, tau_of_sizes
from .claims import CLAIMS
from .groups import groups_of_bins
from .models import estimators_of, reference_of
from .profiles import READINGS


def judge_study(
    summaries: Sequence[xr.Dataset],
    judged: str,
    learned: Mapping[str, Sequence[str]],
    seed: int,
    costs: Mapping[str, Mapping[str, float]] | None = None,
    draws: int = DRAWS,
) -> dict:
    """Judge the claims on one model, and measure them on all others.

    Parameters
    ----------
    summaries : sequence of Dataset
        Summaries of all models that the study shows.
    judged : str
        Name of the model that the verdicts are of.
    learned : mapping of model to verdicts
        As report.claims.record.read_verdicts gives them.
    seed : int
        Seed of the resampling.
    costs : mapping of model to mapping of estimator to number, optional
        Tokens per update in units of the training batch (`relative_cost.relative_costs`).
    draws : int
        Number of resamplings behind each interval of a claim.
    """
    grouped = group_by_model(summaries)
    evidence = Evidence(grouped, {"mt": judged}, learned, draws, seed)
    estimators = estimators_of(grouped[judged][0])
    claims = [claim_record(claim) for claim in CLAIMS.values()]
    for estimator in estimators:
        for claim in claims:
            result = judge_claim(CLAIMS[claim["number"]], evidence, estimator)
            claim["results"][estimator] = result_record(result)
        evidence.forget()
    return {
        "columns": [
            {"name": name, "estimator": name, "architecture": STOCK} for name in estimators
        ],
        "main_models": [judged],
        "interval": list(INTERVAL),
        "draws": draws,
        "seed": seed,
        "agreement": [],
        "grouping": [],
        "courses": [
            course
            for model, replicates in grouped.items()
            for course in _courses(model, replicates[0], seed, (costs or {}).get(model, {}))
        ],
        "claims": claims,
    }


def _courses(model: str, summary: xr.Dataset, seed: int, costs: Mapping[str, float]) -> list[dict]:
    """Agreement of every estimator with the reference along the training of one model."""
    reference = reference_of(summary)
    if reference is None:
        return []
    found, bins = [], TimeBins(summary, reference)
    for estimator in estimators_of(summary):
        if estimator == reference:
            continue
        for reading in READINGS:
            course = tau_course(bins, estimator, reading, seed=seed)
            columns = {"tau": course.tau, "low": course.low, "high": course.high}
            found.append(
                {
                    "model": model,
                    "estimator": estimator,
                    "reference": reference,
                    "reading": reading,
                    "updates": [number(update) for update in course.updates],
                    **{name: [number(one) for one in values] for name, values in columns.items()},
                    "ceiling": number(split_half(bins, reading)),
                    "sizes": number(tau_of_sizes(bins, reading)),
                    "null": number(null_bound(len(groups_of_bins(bins).names))),
                    "cost": number(costs.get(estimator, math.nan)),
                    "reference_cost": number(costs.get(reference, math.nan)),
                }
            )
    return found
