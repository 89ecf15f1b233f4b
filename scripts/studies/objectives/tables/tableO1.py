"""Table O1: what architecture and objective explain of the distances between profiles."""

from __future__ import annotations

from losschange.claims.distances import model_distances, permanova
from losschange.cube.estimators import in_order
from report.claims.record import group_by_model, number
from report.claims.tables import value_text
from report.table_files import MISSING, Table
from studies.objectives.factors import factor_rows

COLUMNS = ["estimator", "models", "factor", "F", "explained", "95 % interval", "p", "smallest p"]


def _text(value: float) -> str:
    """Three digits; MISSING where a number is not defined, as where no objective has two models."""
    return value_text(number(value))


def fill(inputs, options) -> Table:
    """Two rows per estimator, and the paper's one factor, the objective, beside them."""
    grouped, seed = group_by_model(inputs["summaries"]), options["seed"]
    recorded = {str(name) for one in inputs["summaries"] for name in one["estimator"].values}
    rows = []
    for estimator in in_order(recorded):
        found = model_distances(grouped, estimator)
        both = factor_rows(grouped, estimator, seed)
        if found is None or not both:
            continue
        for row in both:
            numbers = [row.effect.F, row.effect.explained]
            interval = f"[{value_text(row.low)}, {value_text(row.high)}]"
            chances = map(_text, (row.effect.p, row.effect.floor))
            rows.append(
                [estimator, str(row.models), row.factor, *map(_text, numbers), interval, *chances]
            )
        alone = permanova(found.distances, [label["objective"] for label in found.labels])
        ratio, share, p = map(_text, alone)
        rows.append(
            [estimator, str(len(found.models)), "objective", ratio, share, MISSING, p, MISSING]
        )
    return Table(
        title="What architecture and objective explain of the distances between models",
        columns=COLUMNS,
        rows=rows,
        notes=[
            "F: variance between the groups of a factor over that within them. Explained: the "
            "factor's share of the sum of squared distances. p: share of permutations of the "
            "labels with at least this F; smallest p: the least that so many can give.",
            "Stacks and text after the predicted token: each beyond the other, in one model of "
            "both (marginal sums of squares). Labels are permuted among models that agree in the "
            "other factor. Intervals resample the noise of training; they say nothing of another "
            "seed. Objective: the paper's single factor, which contains both.",
        ],
    )
