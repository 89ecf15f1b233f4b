"""Figure 4: positive LCA over the training of the masked language model, by layer and component.

Colour is the largest positive LCA in an interval of updates, clipped to [0, 1]. LCA is summed over
the tokens of an update, because the paper's magnitudes cannot be nats per token.
"""

from __future__ import annotations

from losschange.analysis.profiles import join_replicates, positive_profile
from losschange.plots.positive_maps import draw_positive_maps
from losschange.plots.style import draw_message

UNIT_CONVENTION = "summed"
UNIT = "nats summed over an update's tokens"


def draw(inputs, options):
    """The masked language model among the main models; the mean over its trainings."""
    summaries = inputs["summaries"]
    if not summaries:
        return draw_message(
            "Figure 4 shows positive LCA over the training of a masked language model; "
            "this run has no such model."
        )
    profiles = [positive_profile(one, options["estimator"], UNIT_CONVENTION) for one in summaries]
    [profile] = join_replicates(profiles)
    return draw_positive_maps(profile, UNIT)
