"""Figure E: how the layers' profiles of Figure 1 depend on the estimator of the loss change."""

from __future__ import annotations

from losschange.claims import Evidence
from losschange.claims.agreement import REFERENCE, agreements, block_profiles
from losschange.claims.judging import MissingData
from losschange.cube.estimators import in_order
from losschange.plots.estimators import EstimatorRow, draw_estimators
from losschange.plots.style import draw_message
from report.claims.record import group_by_model


def rows_of(evidence):
    """A row per model with its profiles under every recorded estimator."""
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
