"""Figure 2: the contribution over training, per layer, of attention and feed-forward matrices.

Moving averages of −LCA per update; a line per objective. The embedding panel is the same in both
rows and has its own y scale.
"""

from __future__ import annotations

from losschange.analysis.profiles import join_replicates, training_profile
from losschange.plots.style import draw_message
from losschange.plots.training_lines import draw_training_lines


def draw(inputs, options):
    """One line per model in the order given."""
    summaries = inputs["summaries"]
    if not summaries:
        return draw_message("Figure 2 has nothing to show: this run has no main model.")
    profiles = [training_profile(summary, options["estimator"]) for summary in summaries]
    windows = sorted({int(summary.attrs["window"]) for summary in summaries})
    last_step = max(int(summary.attrs["steps"]) for summary in summaries)
    return draw_training_lines(join_replicates(profiles), windows, last_step)
