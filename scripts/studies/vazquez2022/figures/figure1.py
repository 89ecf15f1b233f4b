"""Figure 1: the contribution of every layer, summed over training, per component and objective.

Contribution is −ΣLCA: positive where the parameters lowered the loss. There is a row per objective,
with separate y scales for the embedding, the attention and the feed-forward matrices.
"""

from __future__ import annotations

from losschange.analysis.profiles import join_replicates, layer_profile
from losschange.plots.layer_bars import draw_layer_bars
from losschange.plots.style import draw_message


def draw(inputs, options):
    """One row per model in the order given."""
    summaries = inputs["summaries"]
    if not summaries:
        return draw_message("Figure 1 has nothing to show: this run has no main model.")
    profiles = [layer_profile(summary, options["estimator"]) for summary in summaries]
    return draw_layer_bars(join_replicates(profiles))
