"""Figure Z1: the groups' shares, sampled beside exact, and the agreement of all estimators."""

from __future__ import annotations

import numpy as np

from losschange.claims.resamples import Resample, TimeBins
from losschange.plots.estimator_key import looks_of
from losschange.plots.style import SMALL, count_format

from ..agreement import null_bound, tau_course
from ..drawing import name_lines, no_models, not_recorded, panels
from ..groups import groups_of
from ..models import estimators_of, reference_of, sampled_of
from ..profiles import PER_PARAMETER, READINGS, profile, shares

BAR = 0.4
COLUMNS = ("share, means per parameter", "share, sums", "τ-b with the reference")


def draw(inputs, options):
    """One row per training in the order given."""
    summaries = inputs["summaries"]
    if not summaries:
        return no_models("Z1")
    figure, grid = panels(summaries, COLUMNS)
    looks = looks_of(name for summary in summaries for name in estimators_of(summary))
    for row, summary in zip(grid, summaries, strict=True):
        reference = reference_of(summary)
        if reference is None:
            for axes in row:
                not_recorded(axes)
            continue
        for axes, reading in zip(row, READINGS, strict=False):
            _draw_shares(axes, summary, reference, reading, looks)
        _draw_agreement(row[-1], summary, reference, looks)
    name_lines(
        figure,
        grid.flat,
        "left: groups from the source to the softmax, hatched: sampled, filled: the reference\n"
        "right: updates, band: 95 % of the resamplings of training, grey: unrelated rankings",
    )
    return figure


def _draw_shares(axes, summary, reference, reading, looks):
    groups = groups_of(summary)
    places = np.arange(len(groups.names))
    # Estimators of one text have one colour, so the sampled one is also hatched.
    for shift, name, hatch in (
        (-BAR / 2, sampled_of(summary), "//////"),
        (BAR / 2, reference, None),
    ):
        values = shares(profile(Resample(TimeBins(summary, name)), reading))
        colour = looks[name]["color"]
        filled = {"facecolor": "white" if hatch else colour, "edgecolor": colour}
        axes.bar(places + shift, values, BAR, hatch=hatch, linewidth=0.5, label=name, **filled)
    axes.set_xticks(places, groups.names, rotation=90, size=SMALL)
    axes.axhline(0, color="0.4", linewidth=0.4)


def _draw_agreement(axes, summary, reference, looks):
    bins = TimeBins(summary, reference)
    bound = null_bound(len(groups_of(summary).names))
    axes.axhspan(-bound, bound, color="0.93", zorder=0)
    for name in estimators_of(summary):
        if name == reference:
            continue
        course = tau_course(bins, name, PER_PARAMETER)
        line = {key: looks[name][key] for key in ("color", "linestyle")}
        axes.plot(course.updates, course.tau, **line, label=name)
        axes.fill_between(
            course.updates, course.low, course.high, color=line["color"], alpha=0.15, linewidth=0
        )
    axes.set_ylim(min(-0.6, axes.get_ylim()[0]), 1.05)
    count_format(axes.xaxis, most=3)
    axes.text(0.98, 0.04, f"against {reference}", ha="right", size=SMALL, transform=axes.transAxes)
