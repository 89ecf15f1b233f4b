"""Figure 6: Figure 1's layout for every additional model, a row each.

Additional models are all models that are not main models.
"""

from __future__ import annotations

from losschange.analysis.profiles import join_replicates, layer_profile
from losschange.plots.layer_bars import draw_layer_bars
from losschange.plots.style import draw_message

PAGE_HEIGHT = 9.5  # inches that a page leaves to the rows


def draw(inputs, options):
    """One row per additional model in the order given."""
    additional = inputs["summaries"]
    if not additional:
        return draw_message(
            "Figure 6 shows the models beside the main ones; this run has no additional models."
        )
    profiles = join_replicates(
        [layer_profile(summary, options["estimator"]) for summary in additional]
    )
    return draw_layer_bars(profiles, row_height=min(1.25, PAGE_HEIGHT / len(profiles)))
