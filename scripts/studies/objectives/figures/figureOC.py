"""Figure OC: the sum of the LCA of all parameters and the measured change of the loss.

Curves for one model per objective; the final ratio of every estimator for all models.
"""

from __future__ import annotations

from losschange.analysis.conservation_profiles import conservation_profile, join_conservation
from losschange.plots.conservation import draw_conservation
from losschange.plots.style import draw_message


def draw(inputs, options):
    """Curves of the named models, ratios of all models in the order given."""
    summaries = inputs["summaries"]
    if not summaries:
        return draw_message("Figure OC has nothing to show: this run has no models.")
    joined = join_conservation([conservation_profile(summary) for summary in summaries])
    profiles = {profile.model: profile for profile in joined}
    return draw_conservation(
        [profiles[model] for model in options["main"] if model in profiles], joined
    )
