"""Figure 5: the panels of Figure 1 with the lines of all models in one panel."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from losschange.analysis.profiles import LAYER_COMPONENTS, ModelProfile

from .style import (
    CONTRIBUTION,
    TITLES,
    layer_ticks,
    look_of,
    new_figure,
    shades,
    value_format,
)


def draw_overlay_lines(profiles: Sequence[ModelProfile], dashed: Collection[str] = ()) -> Figure:
    """A panel per component; colour and marker show the objective, the shade shows the model.

    Parameters
    ----------
    profiles : sequence of ModelProfile
        From `losschange.analysis.profiles.layer_profile`.
    dashed : collection of str
        Models that are drawn dashed.
    """
    looks = line_looks(profiles, dashed)
    embedding_places = places_by_objective(profiles)
    figure = new_figure(3.5)
    grid = figure.subplots(2, 4)
    places = dict(zip(("embedding", *LAYER_COMPONENTS[:3]), grid[0], strict=True))
    places |= dict(zip(LAYER_COMPONENTS[3:], grid[1], strict=False))
    for name, axes in places.items():
        for profile, look, place in zip(profiles, looks, embedding_places, strict=True):
            if name == "embedding":
                axes.plot([place], profile.values[name], **look, clip_on=False)
            else:
                _draw_line(axes, profile, name, look)
        _finish_panel(axes, profiles, name)
    legend = grid[1, 3]
    legend.axis("off")
    legend.legend(
        handles=[Line2D([], [], **look) for look in looks],
        loc="center",
        ncols=2 if len(profiles) > 8 else 1,
        columnspacing=0.8,
        handlelength=2.2,
        labelspacing=0.35,
        borderaxespad=0,
    )
    figure.supylabel(CONTRIBUTION, size=7)
    return figure


def places_by_objective(profiles: Sequence[ModelProfile]) -> list[float]:
    """A place on an axis for every model: around 0 for the first objective, 1 for the next.

    Objectives of few models get as much room as others, so that their titles do not overlap.
    """
    objectives = [profile.objective for profile in profiles]
    order = list(dict.fromkeys(objectives))
    places = []
    for number, objective in enumerate(objectives):
        among, of = objectives[:number].count(objective), objectives.count(objective)
        places.append(order.index(objective) + 0.8 * ((among + 0.5) / of - 0.5))
    return places


def _draw_line(axes: Axes, profile: ModelProfile, name: str, look: dict[str, Any]) -> None:
    """A line over the layers, with a gap between encoder and decoder, and a band over seeds."""
    values = profile.values[name]
    positions = np.arange(1, len(values) + 1)
    for part in np.split(positions, [profile.border or 0]):
        if profile.lowest:
            low, high = profile.lowest[name][part - 1], profile.highest[name][part - 1]
            axes.fill_between(part, low, high, color=look["color"], alpha=0.25, linewidth=0)
        axes.plot(part, values[part - 1], **look)


def line_looks(
    profiles: Sequence[ModelProfile], dashed: Collection[str] = ()
) -> list[dict[str, Any]]:
    """Line properties of the given models; models in `dashed` are drawn dashed."""
    looks = []
    for profile in profiles:
        family = [other.model for other in profiles if other.objective == profile.objective]
        shade = shades(profile.objective, len(family))[family.index(profile.model)]
        looks.append(
            {
                "color": shade,
                "marker": look_of(profile.objective).marker,
                "markersize": 2.2,
                "markeredgewidth": 0,
                "linewidth": 0.8,
                "linestyle": (0, (4, 1.5)) if profile.model in dashed else "-",
                "label": profile.model,
            }
        )
    return looks


def _finish_panel(axes: Axes, profiles: Sequence[ModelProfile], name: str) -> None:
    axes.set_title(TITLES[name])
    value_format(axes)
    axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
    if name == "embedding":
        objectives = list(dict.fromkeys(profile.objective for profile in profiles))
        # Titles of more than five objectives would overlap.
        turned = 45 if len(objectives) > 5 else 0
        titles = [look_of(objective).title for objective in objectives]
        axes.set_xticks(range(len(titles)), titles, rotation=turned)
        axes.set_xlim(-0.6, len(titles) - 0.4)
        return
    layers = max(profile.layers for profile in profiles)
    layer_ticks(axes.xaxis, layers)
    axes.set_xlabel("layer")
    borders = {profile.border for profile in profiles if profile.border is not None}
    for border in borders:
        axes.axvline(border + 0.5, color="0.75", linewidth=0.5, linestyle=(0, (2, 1.5)), zorder=0)
