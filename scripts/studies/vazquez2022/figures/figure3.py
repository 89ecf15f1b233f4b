"""Figure 3: the contribution of every attention head, layer x head, summed over training.

Key, query and value per objective; each heat map is normalised over all its cells.
"""

from __future__ import annotations

from losschange.analysis.profiles import head_profile, join_replicates
from losschange.plots.head_maps import draw_head_maps
from losschange.plots.style import draw_message


def draw(inputs, options):
    """One row per model in the order given; the mean over its trainings."""
    summaries = inputs["summaries"]
    if not summaries:
        return draw_message("Figure 3 has nothing to show: this run has no main model.")
    profiles = [head_profile(summary, options["estimator"]) for summary in summaries]
    return draw_head_maps(join_replicates(profiles))
