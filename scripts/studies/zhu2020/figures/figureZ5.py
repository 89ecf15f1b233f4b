"""Figure Z5: contributions of the word matrices by word frequency; train and test."""

from __future__ import annotations

import numpy as np

from losschange.claims.judging import MissingData
from losschange.claims.resamples import Resample, TimeBins
from losschange.plots.style import SMALL, value_format

from ..drawing import WORD_COLOURS, name_lines, no_models, not_recorded, panels
from ..groups import groups_of
from ..models import counterpart_of, estimators_of
from ..profiles import word_profile

# Names of fairseq's matrices and the groups that they are.
GROUPS = {
    "encoder.embed_tokens.weight": "en_emb",
    "decoder.embed_tokens.weight": "de_emb",
    "decoder.output_projection.weight": "de_softmax",
}


def draw(inputs, options):
    """One row per training: training text on the left, held-out text on the right."""
    summaries = inputs["summaries"]
    if not summaries:
        return no_models("Z5")
    figure, grid = panels(summaries, ["train", "test"])
    for row, summary in zip(grid, summaries, strict=True):
        recorded = _recorded(summary)
        for axes in row[len(recorded) :]:
            not_recorded(axes)
        for axes, (name, words) in zip(row, recorded, strict=False):
            shared = "emb" in groups_of(summary).names
            for matrix, values in zip(summary["matrix"].values, words, strict=True):
                group = "emb" if shared else GROUPS.get(str(matrix), str(matrix))
                places = np.arange(1, len(values) + 1)
                axes.plot(places, values, marker=".", color=WORD_COLOURS.get(group), label=group)
            axes.axhline(0, color="0.4", linewidth=0.4)
            axes.set_xlabel(name, size=SMALL)
            value_format(axes)
    name_lines(
        figure,
        grid.flat,
        "groups of words, the most frequent first; nats, summed over training and over the words "
        "of a group. Below a panel: its estimator",
    )
    return figure


def _recorded(summary):
    """(estimator, contributions (matrices, bins)) of training text, then of held-out text."""
    found = []
    known = estimators_of(summary)
    train = [name for name in ("fresh", "batch") if name in known]
    for names in (train, [other for name in train if (other := counterpart_of(summary, name))]):
        for name in names:
            try:
                found.append((name, word_profile(Resample(TimeBins(summary, name)))))
                break
            except MissingData:
                continue
    return found
