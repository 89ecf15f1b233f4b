"""Figure O1: Figure 1's layout, a row for each objective of the run."""

from __future__ import annotations

from losschange.analysis.profiles import join_replicates, layer_profile
from losschange.plots.layer_bars import draw_layer_bars
from losschange.plots.style import draw_message


def draw(inputs, options):
    """One row per model in the order given."""
    summaries = inputs["summaries"]
    if not summaries:
        return draw_message("Figure O1 has nothing to show: this run has no model.")
    profiles = [layer_profile(summary, options["estimator"]) for summary in summaries]
    return draw_layer_bars(join_replicates(profiles))
