"""Figure E: what changes in Figure 1's profiles when the loss change is measured otherwise."""

from __future__ import annotations

from losschange.claims import Evidence
from losschange.claims.agreement import REFERENCE, agreements, block_profiles
from losschange.claims.judging import MissingData
from losschange.cube.estimators import in_order
from losschange.plots.estimators import EstimatorRow, draw_estimators
from losschange.plots.style import draw_message
from report.claims.record import group_by_model


def rows_of(evidence):
    """A row per model with what every estimator that it was recorded with says of it."""
    rows = []
    for model, summaries in evidence.summaries.items():
        profiles, border = {}, None
        for name in in_order({str(n) for one in summaries for n in one["estimator"].values}):
            try:
                border = evidence.replicates(model, name)[0][0].border
            except MissingData:
                continue
            profiles[name] = block_profiles(evidence, model, name)
        found = agreements(evidence, model, list(profiles))
        found = [entry for entry in found if entry.first == REFERENCE]
        if profiles:
            rows.append(EstimatorRow(model, profiles, found, border))
    return rows


def draw(inputs, options):
    """One row per model."""
    grouped = group_by_model(inputs["summaries"])
    rows = rows_of(Evidence(grouped, {}))
    if not rows:
        return draw_message("Figure E has nothing to show: no model has enough records.")
    return draw_estimators(rows)
