"""Figure C: the sum of the LCA of all parameters, compared with the measured change of the loss.

Curves for the main models; the final ratio of every estimator for all models.
"""

from __future__ import annotations

from losschange.analysis.conservation_profiles import conservation_profile, join_conservation
from losschange.plots.conservation import draw_conservation
from losschange.plots.style import draw_message


def draw(inputs, options):
    """Curves of the main models, ratios of all models in the order given."""
    summaries = inputs["summaries"]
    if not summaries:
        return draw_message("Figure C has nothing to show: this run has no models.")
    joined = join_conservation([conservation_profile(summary) for summary in summaries])
    profiles = {profile.model: profile for profile in joined}
    main = [profiles[model] for model in options["main"] if model in profiles]
    return draw_conservation(main, list(profiles.values()))
