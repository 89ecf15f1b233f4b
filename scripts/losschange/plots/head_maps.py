"""Figure 3: heat maps of the contribution of every attention head."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from losschange.analysis.profiles import ATTENTION, ModelProfile

from .style import TITLES, layer_ticks, look_of, new_figure


def draw_head_maps(profiles: Sequence[ModelProfile]) -> Figure:
    """One row per model, with maps (layer x head) of key, query and value.

    Each panel is scaled so that its smallest contribution is 0 and its largest is 1.

    Parameters
    ----------
    profiles : sequence of ModelProfile
        From `losschange.analysis.profiles.head_profile`.
    """
    figure = new_figure(1.45 * len(profiles) + 0.5)
    grid = figure.subplots(len(profiles), len(ATTENTION), squeeze=False)
    for row, profile in zip(grid, profiles, strict=True):
        for axes, name in zip(row, ATTENTION, strict=True):
            values = normalise(profile.values[name])
            layers, heads = values.shape
            image = axes.imshow(
                values.T,
                cmap="viridis_r",
                vmin=0,
                vmax=1,
                aspect="auto",
                interpolation="nearest",
                extent=(0.5, layers + 0.5, 0.5, heads + 0.5),
                origin="lower",
            )
            axes.grid(False)
            layer_ticks(axes.xaxis, layers)
            axes.yaxis.set_ticks(range(1, heads + 1))
            axes.spines[:].set_visible(True)
            if profile.border is not None:
                axes.axvline(profile.border + 0.5, color="white", linewidth=2)
                axes.axvline(profile.border + 0.5, color="black", linewidth=0.8)
            if name != ATTENTION[0]:
                axes.tick_params(labelleft=False)
        title = f"{look_of(profile.objective).title} ({profile.model})"
        if profile.trainings > 1:
            title += f"\nmean of {profile.trainings}, range ≤ {largest_range(profile):.2f}"
        row[0].set_ylabel(f"{title}\nhead")
    for axes, name in zip(grid[0], ATTENTION, strict=True):
        axes.set_title(TITLES[name])
    for axes in grid[-1]:
        axes.set_xlabel("layer")
    bar = figure.colorbar(image, ax=grid, fraction=0.03, aspect=35, pad=0.01)
    bar.set_label("contribution −ΣLCA, normalised over each heat map")
    bar.outline.set_linewidth(0.5)
    return figure


def largest_range(profile: ModelProfile) -> float:
    """The largest range of a head's value over trainings, relative to its heat map's range."""
    ranges = [
        np.nanmax(profile.highest[name] - profile.lowest[name]) / np.ptp(profile.values[name])
        for name in ATTENTION
        if np.ptp(profile.values[name]) > 0
    ]
    return float(max(ranges, default=0.0))


def normalise(values: np.ndarray) -> np.ndarray:
    """Scale values to [0, 1]; if all are equal, they become 0.5."""
    low, high = np.nanmin(values), np.nanmax(values)
    if low == high:
        return np.full_like(values, 0.5)
    scaled: np.ndarray = (values - low) / (high - low)
    return scaled
