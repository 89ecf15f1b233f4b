"""Figure 2: moving averages of the contribution over training, a column per layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from losschange.analysis.profiles import ModelProfile

from .style import SMALL, count_text, look_of, new_figure, set_padding, value_format

ROWS = {
    "attention": "attention\n(key + query + value)",
    "feed-forward": "feed-forward\n($W_1 + W_2$)",
}


def draw_training_lines(
    profiles: Sequence[ModelProfile], windows: Sequence[int], last_step: int
) -> Figure:
    """Two rows (attention, feed-forward) with a column for the embedding and one per layer.

    The embedding panel is the same in both rows and has its own y scale; the other panels of a
    row share theirs.

    Parameters
    ----------
    profiles : sequence of ModelProfile
        From `losschange.analysis.profiles.training_profile`.
    windows : sequence of int
        Number of updates in a moving average, one per model if they differ; for the axis label.
    last_step : int
        Number of the last update: the right end of every panel.
    """
    layers = max(profile.layers for profile in profiles)
    figure = new_figure(3.1)
    grid = figure.subplots(len(ROWS), layers + 1, squeeze=False, sharex=True)
    for row, group in zip(grid, ROWS, strict=True):
        for axes in row[2:]:
            axes.tick_params(labelleft=False)
        for profile in profiles:
            _draw_line(row[0], profile, "embedding")
            for depth in range(profile.layers):
                _draw_line(row[1 + depth], profile, group, depth)
        row[0].set_ylabel(ROWS[group])
        for axes in row:
            _finish_panel(axes, last_step)
        shown = [part for p in profiles for part in (p.values, p.lowest, p.highest) if part]
        _share_scale(row[:1], [part["embedding"] for part in shown])
        _share_scale(row[1:], [part[group] for part in shown])
    for axes in grid[:, 2:].flat:
        axes.yaxis.get_offset_text().set_visible(False)
    for depth, axes in enumerate(grid[0]):
        # an explicit y keeps all titles at the same height, also above powers of ten
        axes.set_title(f"layer {depth}" if depth else "emb.", y=1.16, pad=0)
    _add_legend(figure, profiles)
    averaged = " or ".join(f"{window:,}" for window in windows)
    band = "; line: mean over seeds, band: range" if any(p.lowest for p in profiles) else ""
    figure.supxlabel(f"update (moving average over {averaged} updates){band}", size=7)
    figure.supylabel("−LCA (nats per token and update)", size=7)
    set_padding(figure, wspace=0.0, w_pad=0.01)
    return figure


def _draw_line(axes: Axes, profile: ModelProfile, name: str, layer: int | None = None) -> None:
    def column(values: Mapping[str, np.ndarray]) -> np.ndarray:
        return values[name] if layer is None else values[name][:, layer]

    colour, steps = look_of(profile.objective).colour, profile.values["step"]
    if profile.lowest:
        low, high = column(profile.lowest), column(profile.highest)
        axes.fill_between(steps, low, high, color=colour, alpha=0.25, linewidth=0)
    axes.plot(
        steps,
        column(profile.values),
        color=colour,
        linestyle=look_of(profile.objective).dash,
        linewidth=0.8,
    )


def _finish_panel(axes: Axes, last_step: int) -> None:
    axes.axhline(0, color="0.3", linewidth=0.4, zorder=1)
    axes.set_xlim(0, last_step)
    # Align labels inside the narrow panels, so that labels of adjacent panels do not overlap.
    axes.set_xticks([0, last_step], ["0", count_text(last_step)])
    first, last = axes.xaxis.get_major_ticks()
    first.label1.set_horizontalalignment("left")
    last.label1.set_horizontalalignment("right")
    axes.tick_params(axis="x", length=1.5)
    value_format(axes)


def _share_scale(panels: Sequence[Axes], values: Sequence[np.ndarray]) -> None:
    """Give all panels the same limits; without negative values, they start at 0."""
    low = min(0, *(np.nanmin(part) for part in values))
    high = max(0, *(np.nanmax(part) for part in values))
    room = 0.04 * (high - low)
    for axes in panels:
        axes.set_ylim(low - room if low < 0 else 0, high + room if high > low else 1)


def _add_legend(figure: Figure, profiles: Sequence[ModelProfile]) -> None:
    handles = [
        Line2D(
            [],
            [],
            color=look_of(profile.objective).colour,
            linestyle=look_of(profile.objective).dash,
            label=_legend_text(profile),
        )
        for profile in profiles
    ]
    figure.legend(
        handles=handles, loc="outside upper center", ncols=len(handles), fontsize=SMALL + 1
    )


def _legend_text(profile: ModelProfile) -> str:
    text = f"{look_of(profile.objective).title} ({profile.model}"
    if profile.border is not None:
        text += f"; encoder 1–{profile.border}, decoder {profile.border + 1}–{profile.layers}"
    return text + ")"
