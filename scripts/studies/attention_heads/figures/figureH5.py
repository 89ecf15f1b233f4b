"""Figure H5: which heads survive pruning, by type of attention, by layer and by function."""

from __future__ import annotations

import numpy as np

from losschange.plots.style import SMALL, draw_message, look_of, new_figure

from ..drawing import COLOURS, NO_FUNCTION, TYPE_COLOURS, row_label, say
from ..evidence import kept_share
from ..figure_data import STACKS, functions_of, read_panels


def draw(inputs, options):
    """A row per model: share kept by type, by layer, and of the heads with each function."""
    panels = [panel for panel in read_panels(inputs) if panel.training.prices()]
    if not panels:
        return draw_message("Figure H5 has nothing to show: no model was pruned.")
    grouped = {}
    for panel in panels:
        grouped.setdefault(panel.training.name, []).append(panel)
    figure = new_figure(1.6 * len(grouped) + 0.4)
    grid = figure.subplots(len(grouped), 3, squeeze=False)
    for row, members in zip(grid, grouped.values(), strict=True):
        _types(row[0], members)
        _layers(row[1], members)
        _functions(row[2], members)
        row_label(row[0], members[0], "share of heads kept")
        row[0].set_ylabel(
            f"{look_of(members[0].objective).title}: {members[0].training.name}\nshare kept",
            size=SMALL,
        )
    for axes, title in zip(
        grid[0],
        (
            "by type, at every price",
            "by layer, nearest to half kept",
            "by function, nearest to half kept",
        ),
    ):
        axes.set_title(title)
    handles = {}
    for axes in grid[:, 0]:
        handles |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=3, fontsize=SMALL)
    grid[-1, 0].set_xlabel("share of all heads kept")
    grid[-1, 1].set_xlabel("layer")
    return figure


def _types(axes, members):
    arms = sorted(members[0].training.prices(), key=kept_share)
    for panel in members:
        shares = [float(panel.training.kept(arm, panel.attention).mean()) for arm in arms]
        axes.plot(
            [kept_share(arm) for arm in arms],
            shares,
            "o-",
            markersize=3,
            color=TYPE_COLOURS[panel.attention],
            label=STACKS[panel.attention],
        )
    axes.plot([0, 1], [0, 1], color="0.6", linestyle=":", linewidth=0.7)
    axes.set(xlim=(0, 1.02), ylim=(-0.02, 1.05))


def _layers(axes, members):
    half = members[0].training.half()
    if half is None:
        say(axes, "cannot tell: no price prunes some heads and keeps others")
        return
    for panel in members:
        shares = panel.training.kept(half, panel.attention).mean(-1)
        axes.plot(
            np.arange(1, len(shares) + 1),
            shares,
            "o-",
            markersize=3,
            color=TYPE_COLOURS[panel.attention],
        )
    axes.set_ylim(-0.02, 1.2)
    told = f"{kept_share(half):.0%} of all heads kept"
    told += "; gates not converged" if half.attrs["not_converged"] else ""
    axes.text(0.99, 0.99, told, ha="right", va="top", size=SMALL, transform=axes.transAxes)


def _functions(axes, members):
    half = members[0].training.half()
    if half is None:
        say(axes, "cannot tell: no price prunes some heads and keeps others")
        return
    kept, having = [], {}
    for panel in members:
        kept.append(panel.training.kept(half, panel.attention).ravel())
        have = functions_of(panel)
        have["none"] = ~np.any(list(have.values()), axis=0)
        for kind, chosen in have.items():
            having.setdefault(kind, []).append(chosen.ravel())
    survived = np.concatenate(kept)
    for place, (kind, parts) in enumerate(having.items()):
        chosen = np.concatenate(parts)
        number = int(chosen.sum())
        share = survived[chosen].mean() if number else 0.0
        axes.bar(place, share, color=COLOURS.get(kind, NO_FUNCTION))
        text = f"{int(survived[chosen].sum())} of {number}" if number else "no head"
        axes.text(place, share + 0.02, text, ha="center", va="bottom", size=SMALL - 0.5)
    axes.set_xticks(range(len(having)), list(having))
    axes.set_ylim(0, 1.15)
