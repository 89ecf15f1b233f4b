"""Claims I1 to I3: does freezing cost what LCA says?"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from losschange.claims.judging import DRAWS, MissingData
from losschange.claims.registry import ClaimList
from losschange.claims.statistics import spearman
from losschange.claims.verdicts import FAILS, HOLDS, UNKNOWN, Claim, Condition, Part, Result
from losschange.cube.estimators import VALID, parse_estimator

from .points import Measured, Point, cost_text
from .ranking import FEWEST, interval

CLAIMS = ClaimList(objectives=(), layers=0)
# Claims whose resamplings keep the kinds of intervention apart.
BY_KIND = ("I1", "I2")
PAPERS_ESTIMATOR = "batch"


def _mean_cost(points: Sequence[Point], model: str, kind: str, text: str) -> float:
    costs = [p.costs[text].value for p in points if (p.model, p.kind) == (model, kind)]
    return float(np.mean(costs))


@CLAIMS.claim(
    "I1",
    "",
    "Freezing the cells that contribute least costs less than freezing random ones, and freezing "
    "those that contribute most costs more.",
    [
        Condition("cost of random cells less that of the least", "nats per token", least=0),
        Condition("cost of the most less that of random cells", "nats per token", least=0),
    ],
    scope="all",
    layers=False,
)
def least_random_most(points: Sequence[Point]):
    """Mean over the models with all three kinds; loss on the text of the rule's estimator."""
    differences = []
    for model in dict.fromkeys(point.model for point in points):
        own = {point.kind: point.estimator for point in points if point.model == model}
        if not {"least", "random", "most"} <= own.keys():
            continue
        text = cost_text(own["least"]) or VALID
        least, random, most = (
            _mean_cost(points, model, kind, text) for kind in ("least", "random", "most")
        )
        differences.append((random - least, most - random))
    if not differences:
        raise MissingData("no model has interventions of the kinds least, random and most")
    return np.mean(differences, axis=0).tolist()


@CLAIMS.claim(
    "I2",
    "",
    "Freezing what hurts lowers the final validation loss (Lan et al. 2019, of the last layer).",
    [Condition("loss of the parent less that of the frozen model", "nats per token", least=0)],
    scope="all",
    layers=False,
)
def freezing_what_hurts_helps(points: Sequence[Point]):
    """Mean over the models, on the validation probe at the end of training."""
    models = dict.fromkeys(point.model for point in points if point.kind == "hurting")
    if not models:
        raise MissingData("no intervention freezes what hurts")
    return [-float(np.mean([_mean_cost(points, model, "hurting", VALID) for model in models]))]


@CLAIMS.claim(
    "I3",
    "",
    "Estimators that measure on fixed text rank interventions better than the paper's, batch.",
    [Condition("mean ρ of the measuring estimators less that of batch", least=0)],
    scope="all",
    layers=False,
)
def measuring_estimators_rank_better(points: Sequence[Point]):
    """Spearman's ρ of predicted and measured cost, each by the loss on the estimator's own text."""
    found = {}
    for name in dict.fromkeys(name for point in points for name in point.predicted):
        text = cost_text(name)
        known = [point for point in points if name in point.predicted]
        if text and len(known) >= FEWEST:
            predicted = np.array([point.predicted[name] for point in known])
            measured = np.array([point.costs[text].value for point in known])
            found[name] = spearman(predicted, measured)
    measuring = [rho for name, rho in found.items() if parse_estimator(name).is_probe]
    if not measuring or PAPERS_ESTIMATOR not in found:
        raise MissingData(
            f"an order needs {FEWEST} interventions, predicted by batch and by an estimator that "
            "measures on fixed text"
        )
    return [float(np.mean(measuring)) - found[PAPERS_ESTIMATOR]]


def judge(claim: Claim, points: Sequence[Point], seed: int, draws: int = DRAWS) -> Result:
    """Measure and judge a claim; the verdict is "cannot tell" where interventions are missing.

    Parameters
    ----------
    claim : Claim
        Of CLAIMS.
    points : sequence of Point
    seed, draws : int
        Of the resampling: of the rows of the probes, and of the interventions; for I1 and I2 among
        the trainings of one model and one kind, its seeds and random draws.
    """
    try:
        values = claim.measure(points)
    except MissingData as error:
        return Result(claim.number, "cost", UNKNOWN, str(error), (), (), 0)
    random = np.random.default_rng([seed, zlib.crc32(str(claim.number).encode())])
    drawn = np.full((draws, len(values)), np.nan)
    for draw in range(draws):
        chosen = _resampled(points, draw, random, str(claim.number) in BY_KIND)
        try:
            drawn[draw] = claim.measure(chosen)
        except MissingData:
            continue
    parts = []
    for place, condition in enumerate(claim.conditions):
        low, high = interval(drawn[:, place])
        verdict = UNKNOWN if np.isnan(low) else condition.verdict(low, high)
        parts.append(Part(values[place], low, high, verdict))
    models = tuple(dict.fromkeys(point.model for point in points))
    number = len({point.training for point in points}) // max(1, len(models))
    found = Result(claim.number, "cost", UNKNOWN, "", tuple(parts), models, number)
    assert found.deciding is not None
    condition, part = claim.conditions[found.deciding], parts[found.deciding]
    reason = f"{condition.name}: {condition.text()}"
    if part.verdict not in (HOLDS, FAILS):
        reason = f"the interval straddles the criterion ({reason})"
        if np.isnan(part.low):
            reason = f"{condition.name}: not defined in many resamplings"
    return replace(found, verdict=part.verdict, reason=reason)


def _resampled(
    points: Sequence[Point], draw: int, random: np.random.Generator, by_kind: bool
) -> list[Point]:
    """Interventions drawn with replacement, their costs on one resampling of the probes."""
    strata: dict[object, list[Point]] = {}
    for point in points:
        strata.setdefault((point.model, point.kind) if by_kind else None, []).append(point)
    chosen = [
        members[place]
        for members in strata.values()
        for place in random.integers(0, len(members), len(members))
    ]
    return [
        replace(
            point,
            costs={t: Measured(c.drawn[draw], c.drawn) for t, c in point.costs.items()},
        )
        for point in chosen
    ]
