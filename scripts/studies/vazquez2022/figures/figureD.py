"""Figure D: distances between the normalised layer profiles of all models."""

from __future__ import annotations

from losschange.claims.distances import model_distances
from losschange.plots.distances import draw_distances
from losschange.plots.style import draw_message
from report.claims.record import group_by_model


def draw(inputs, options):
    """A point of the map and a leaf of the tree per model; replicates are averaged."""
    grouped = group_by_model(inputs["summaries"])
    found = model_distances(grouped, options["estimator"])
    if found is None:
        return draw_message(
            "Figure D has nothing to show: it needs three models of the same depth."
        )
    objectives = [label["objective"] for label in found.labels]
    return draw_distances(found.models, objectives, found.distances, found.points, found.kept)
