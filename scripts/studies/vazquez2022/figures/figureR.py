"""Figure R: contributions of the layers to the loss change on rare and on frequent words.

Shares of the layers in the loss change on each of the named texts, for the most exact estimator
that was recorded on it.
"""

from __future__ import annotations

from losschange.analysis.text_profiles import text_profiles
from losschange.cube.estimators import TRAIN, VALID
from losschange.plots.style import draw_message
from losschange.plots.text_shares import TextRow, draw_text_shares


def draw(inputs, options):
    """One row per model that was recorded on named texts; shows the first of its trainings."""
    rows, seen = [], set()
    for summary in inputs["summaries"]:
        model = str(summary.attrs["model"])
        profiles = text_profiles(summary)
        if model not in seen and set(profiles) - {TRAIN, VALID}:
            stacks = [str(stack) for stack in summary["stack"].values]
            encoder = stacks.count("encoder")
            border = encoder if encoder and "decoder" in stacks else None
            rows.append(TextRow(model, profiles, border))
        seen.add(model)
    if not rows:
        return draw_message(
            "Figure R compares texts that recording.texts names; this run recorded none."
        )
    return draw_text_shares(rows)
