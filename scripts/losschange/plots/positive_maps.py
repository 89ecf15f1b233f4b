"""Figure 4: layers and updates at which a masked language model's parameters raised the loss."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from losschange.analysis.profiles import LAYER_COMPONENTS, ModelProfile

from .style import TITLES, count_format, new_figure

# White means exactly 0; even the smallest positive value is visible.
COLOURS = LinearSegmentedColormap.from_list(
    "positive", ["#FBD9B5", "#F08A4B", "#B5305F", "#4B1163", "#12021F"]
)


def draw_positive_maps(profile: ModelProfile, unit: str) -> Figure:
    """A panel per component: updates x layer, colour = positive LCA clipped to [0, 1].

    Parameters
    ----------
    profile : ModelProfile
        From `losschange.analysis.profiles.positive_profile`.
    unit : str
        The unit of its values, for the colour bar.
    """
    figure = new_figure(3.4)
    grid = figure.subplots(2, 3, sharex=True, sharey=True)
    edge = profile.values["edge"]
    for axes, name in zip(grid.flat, LAYER_COMPONENTS, strict=True):
        positive = np.ma.masked_array(values := profile.values[name], ~(values > 0))
        image = axes.pcolormesh(
            edge,
            np.arange(profile.layers + 1) + 0.5,
            positive,
            cmap=COLOURS,
            vmin=0,
            vmax=1,
            linewidth=0,
            rasterized=True,
        )
        axes.set_title(TITLES[name])
        axes.grid(False)
        axes.yaxis.set_ticks(range(1, profile.layers + 1))
        axes.spines[:].set_visible(True)
        axes.set_xlim(0, edge[-1])
        count_format(axes.xaxis, most=5, prune="upper")
        for layer in range(1, profile.layers):
            axes.axhline(layer + 0.5, color="0.93", linewidth=0.3, zorder=0)
        if positive.mask.all():
            centre = (edge[-1] / 2, (profile.layers + 1) / 2)
            axes.text(*centre, "never positive", ha="center", va="center", color="0.5")
        if profile.border is not None:
            axes.axhline(profile.border + 0.5, color="0.35", linewidth=0.7)
    for axes in grid[:, 0]:
        axes.set_ylabel("layer")
    for axes in grid[-1]:
        axes.set_xlabel("update")
    updates = int(round(np.median(np.diff(edge))))
    bar = figure.colorbar(image, ax=grid, fraction=0.03, aspect=30, pad=0.01, extend="max")
    where = "of each update" if updates == 1 else f"the largest in {updates:,} updates"
    bar.set_label(f"positive LCA, {where}\n({unit}; clipped to [0, 1])")
    bar.outline.set_linewidth(0.5)
    title = f"{profile.model}: white where no update was positive"
    if profile.trainings > 1:
        title += f"; mean of {profile.trainings} trainings"
        title += f", which differ by up to {_largest_difference(profile):.3g}"
    figure.suptitle(title, size=7)
    return figure


def _largest_difference(profile: ModelProfile) -> float:
    """The largest range of a value over trainings, in the unit of the values."""
    ranges = [profile.highest[name] - profile.lowest[name] for name in LAYER_COMPONENTS]
    return float(max(np.nanmax(values) for values in ranges))
