"""The record of the study, claims.json: points, rankings, rewound cells and judged claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from losschange.claims.judging import DRAWS, INTERVAL
from losschange.claims.verdicts import Claim, Result
from losschange.cube.estimators import in_order
from report.claims.record import claim_record, number, result_record

from .claims import CLAIMS, judge
from .points import TEXTS, Measured, Point, Rewound, cost_text, read_family
from .ranking import Ranking, interval, rank, rank_points


def make_record(families: Sequence[Mapping[str, Any]], seed: int) -> dict:
    """The record of all interventions of a run.

    Parameters
    ----------
    families : sequence of mapping
        One per training with interventions; see `points.read_family`.
    seed : int
        Of the resamplings.
    """
    found = [read_family(family, seed) for family in families]
    points = [point for own, _ in found for point in own]
    rewound = [one for _, own in found for one in own]
    models = list(dict.fromkeys(point.model for point in points))
    return {
        "interval": list(INTERVAL),
        "draws": DRAWS,
        "seed": seed,
        "columns": [{"name": "cost", "estimator": "cost", "architecture": "stock"}],
        "main_models": models,
        "agreement": [],
        "grouping": [],
        "claims": [_claim_record(claim, judge(claim, points, seed)) for claim in CLAIMS.values()],
        "points": [_point_record(point) for point in points],
        "spread": [_spread_record(points, model) for model in models],
        "rankings": _rankings(points, models, seed),
        "rewound": [_rewound_record(one) for one in rewound],
        "rewound_rankings": _rewound_rankings(rewound, seed),
    }


def _estimators(points: Sequence[Point]) -> list[str]:
    return in_order({name for point in points for name in point.predicted})


def _measured_record(measured: Measured) -> list:
    low, high = interval(measured.drawn)
    return [number(value) for value in (measured.value, low, high)]


def _point_record(point: Point) -> dict:
    return asdict(point) | {
        "share": number(point.share),
        "predicted": {name: number(value) for name, value in point.predicted.items()},
        "costs": {text: _measured_record(cost) for text, cost in point.costs.items()},
    }


def _spread_record(points: Sequence[Point], model: str) -> dict:
    """How much costs differ between random choices of as many parameters: the floor of an order."""
    spread = {}
    for text in TEXTS:
        costs = [
            point.costs[text].value
            for point in points
            if (point.model, point.kind) == (model, "random") and text in point.costs
        ]
        spread[text] = number(float(np.std(costs, ddof=1)) if len(costs) > 1 else np.nan)
    return {"model": model, "spread": spread}


def _rankings(points: Sequence[Point], models: Sequence[str], seed: int) -> list[dict]:
    """Per estimator, of all interventions together and of those on each model."""
    found = []
    for of in ["all", *models]:
        own = [point for point in points if of in ("all", point.model)]
        for name in _estimators(points):
            about = {"estimator": name, "of": of, "text": cost_text(name)}
            found.append(about | _ranking_record(rank_points(own, name, seed)))
    return found


def _ranking_record(ranking: Ranking) -> dict:
    return {
        "points": ranking.number,
        "spearman": [number(value) for value in ranking.spearman],
        "kendall": [number(value) for value in ranking.kendall],
        "chance": number(ranking.chance),
        "below": number(ranking.below),
    }


def _rewound_record(one: Rewound) -> dict:
    return asdict(one) | {
        "contribution": {name: number(value) for name, value in one.contribution.items()},
        "worth": {text: _measured_record(worth) for text, worth in one.worth.items()},
    }


def _rewound_rankings(rewound: Sequence[Rewound], seed: int) -> list[dict]:
    """Per training and estimator: the sum along the path against the worth of the move."""
    found = []
    for training in dict.fromkeys(one.training for one in rewound):
        own = [one for one in rewound if one.training == training]
        for name in in_order({name for one in own for name in one.contribution}):
            contributions = np.array([one.contribution[name] for one in own])
            ranking = rank(contributions, [one.worth[cost_text(name) or ""] for one in own], seed)
            about = {"training": training, "estimator": name, "text": cost_text(name)}
            found.append(about | _ranking_record(ranking))
    return found


def _claim_record(claim: Claim, result: Result) -> dict:
    return {**claim_record(claim), "results": {"cost": result_record(result)}}
