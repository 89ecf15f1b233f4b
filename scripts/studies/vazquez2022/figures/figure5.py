"""Figure 5: Figure 1's panels with all models overlaid.

Colour and marker show the objective, the shade the model; the Estonian MLM is dashed.
"""

from __future__ import annotations

from losschange.analysis.profiles import join_replicates, layer_profile
from losschange.plots.overlay_lines import draw_overlay_lines
from losschange.plots.style import draw_message


def draw(inputs, options):
    """One line per model."""
    summaries = inputs["summaries"]
    if not summaries:
        return draw_message("Figure 5 has nothing to show: this run has no models.")
    profiles = [layer_profile(summary, options["estimator"]) for summary in summaries]
    estonian = [
        profile.model
        for profile in profiles
        if profile.objective == "mlm" and profile.language == "et"
    ]
    return draw_overlay_lines(join_replicates(profiles), dashed=estonian)
