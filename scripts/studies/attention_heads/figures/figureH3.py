"""Figure H3: the worth of heads against their LCA, and every rank correlation within layers."""

from __future__ import annotations

import numpy as np

from losschange.plots.style import SMALL, draw_message, new_figure, value_format

from ..drawing import say
from ..figure_data import lca_of, read_panels, read_relations, tests_of

SHOWN = ("confidence", "relevance", "importance", "signed_importance", "ablation", "survival")
NAMES = {"signed_importance": "signed\nimportance", "survival": "survival\n(2 AUC − 1)"}
# Estimators that are shown beside the run's own, the first one that was recorded.
HONEST = ("simpson", "probe")
COLOURS = ("0.2", "#D55E00")


def draw(inputs, options):
    """Above: ablation against LCA. Below: correlations with intervals, the null in grey."""
    panels, relations = read_panels(inputs), read_relations(inputs)
    if not panels:
        return draw_message("Figure H3 has nothing to show: this run has no main model.")
    figure = new_figure(4.6)
    grid = figure.subplots(2, len(panels), squeeze=False, height_ratios=(1, 1.3))
    for above, below, panel in zip(*grid, panels, strict=True):
        contribution = lca_of(relations, panel)
        if contribution is None:
            say(above, "no LCA of single heads is recorded")
            say(below, "")
            continue
        _scatter(above, panel, contribution, relations)
        _forest(below, panel, relations)
        if panel is not panels[0]:
            below.tick_params(labelleft=False)
    grid[0, 0].set_ylabel("rise of the loss without the head\n(nats per token)")
    handles, labels = grid[1, 0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=SMALL)
    return figure


def _scatter(axes, panel, contribution, relations):
    rise = panel.values("ablation")
    layers = np.broadcast_to(np.arange(1, len(rise) + 1)[:, None], rise.shape)
    axes.scatter(contribution, rise, c=layers, s=5, cmap="viridis", linewidths=0)
    axes.axhline(0, color="0.5", linewidth=0.5)
    axes.axvline(0, color="0.5", linewidth=0.5)
    test = next(
        tests_of(
            relations,
            panel,
            estimator=relations["estimator"],
            component="all",
            snapshot="last",
            measure="ablation",
        ),
        None,
    )
    told = (
        "cannot tell"
        if test is None or test["value"] is None
        else (f"ρ {test['value']:.2f}, p (Holm) {test['p_holm']:.2g}")
    )
    axes.set_title(f"{panel.title.replace(', ', chr(10))}\n{told}", size=SMALL)
    axes.set_xlabel("−ΣLCA (nats per token)", size=SMALL)
    axes.tick_params(labelsize=SMALL - 1)
    value_format(axes)


def _forest(axes, panel, relations):
    own = relations["estimator"]
    recorded = {test["estimator"] for test in tests_of(relations, panel)}
    other = [name for name in HONEST if name in recorded and name != own][:1]
    for place, (estimator, colour) in enumerate(zip([own, *other], COLOURS)):
        for row, measure in enumerate(SHOWN):
            test = next(
                tests_of(
                    relations,
                    panel,
                    estimator=estimator,
                    component="all",
                    snapshot="last",
                    measure=measure,
                ),
                None,
            )
            at = -row - 0.25 * place
            if test is None or test["value"] is None:
                axes.text(
                    0, at, "cannot tell", size=SMALL - 1, color=colour, ha="center", va="center"
                )
                continue
            scaled = [_scaled(number, measure) for number in (test["value"], *test["interval"])]
            low, high = (_scaled(number, measure) for number in test["null"])
            axes.barh(
                at,
                high - low,
                0.22,
                low,
                color="0.9",
                zorder=0,
                label="95 % of permutations" if row == place == 0 else None,
            )
            axes.plot(scaled[1:], [at, at], color=colour, linewidth=0.8)
            sure = test["p_holm"] is not None and test["p_holm"] < 0.05
            name = f"{estimator} (filled: p < 0.05 by Holm)" if row == 0 else None
            filling = colour if sure else "white"
            axes.plot(
                scaled[0],
                at,
                "o",
                color=colour,
                markersize=3.5,
                markerfacecolor=filling,
                label=name,
            )
    axes.axvline(0, color="0.5", linewidth=0.5)
    # The rows of all panels share the labels of the first, also where nothing can be told.
    axes.set(xlim=(-1, 1), ylim=(0.4 - len(SHOWN), 0.3))
    axes.set_yticks(-np.arange(len(SHOWN)) - 0.1, [NAMES.get(name, name) for name in SHOWN])
    axes.set_xlabel("ρ within layers", size=SMALL)


def _scaled(number, measure):
    if number is None:
        return np.nan
    return 2 * number - 1 if measure == "survival" else number
