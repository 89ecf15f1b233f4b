"""Figure H4: quality of pruned models against the number of heads kept, with the control arm."""

from __future__ import annotations

from copy import copy

import numpy as np
import xarray as xr

from losschange.plots.style import SMALL, draw_message, look_of, new_figure

from ..figure_data import interval_of_scores, objective_of, read_panels

CONTROL, SCRATCH = "0.2", "#CC79A7"
CONVERGED, UNDECIDED = "pruned", "pruned; gates not converged"
PRUNED = {CONVERGED, UNDECIDED}


def draw(inputs, options):
    """A panel per model, and one for pruning of the encoder alone."""
    panels = {panel.training.name: panel for panel in read_panels(inputs)}.values()
    scores = {}
    for path in inputs.get("scores", ()):
        with xr.open_dataset(path) as opened:
            scores[str(opened.attrs["model"]).rsplit(".", 1)[0]] = opened.load()
    shown = [
        (panel, encoder_only)
        for panel in panels
        for encoder_only in (False, True)
        if panel.training.prices(encoder_only)
    ]
    if not shown:
        return draw_message("Figure H4 has nothing to show: no model was pruned.")
    figure = new_figure(2.4)
    for axes, (panel, encoder_only) in zip(
        figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True
    ):
        scratch = None if encoder_only else scores.get(panel.training.name)
        _panel(axes, panel, encoder_only, scratch)
    handles = {}
    for axes in figure.axes:
        handles |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    # Their colours are those of the objectives, so the legend has none.
    for name in PRUNED & handles.keys():
        handles[name] = copy(handles[name])
        handles[name].set(color="0.5", markerfacecolor="0.5" if name == CONVERGED else "white")
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=5, fontsize=SMALL)
    return figure


def _panel(axes, panel, encoder_only, scratch):
    training, colour = panel.training, look_of(panel.objective).colour
    measure = "BLEU" if "bleu" in training.prices(encoder_only)[0].attrs else "perplexity"
    control = training.control(encoder_only)
    value, _, _ = interval_of_scores(panel, control, control, measure)
    axes.axhline(value, color=CONTROL, label="control arm (price 0)")
    name = "unpruned_bleu" if measure == "BLEU" else "unpruned_perplexity"
    axes.axhline(control.attrs[name], color="0.4", linestyle=":", label="before pruning")
    total = control.attrs["gated_heads"]
    for arm in training.prices(encoder_only):
        value, low, high = interval_of_scores(panel, arm, control, measure)
        kept, hollow = arm.attrs["kept_heads"], bool(arm.attrs["not_converged"])
        axes.plot([kept, kept], [low, high], color=colour, linewidth=0.7)
        axes.plot(
            kept,
            value,
            "o",
            color=colour,
            markersize=4,
            markerfacecolor="white" if hollow else colour,
            label=UNDECIDED if hollow else CONVERGED,
        )
    half = training.half(encoder_only)
    if scratch is not None and half is not None:
        value, low, high = interval_of_scores(panel, scratch, control, measure)
        axes.errorbar(
            half.attrs["kept_heads"],
            value,
            [[value - low], [high - value]],
            fmt="*",
            color=SCRATCH,
            markersize=6,
            linewidth=0.7,
            label="from scratch",
        )
    title = look_of(objective_of(training.name)).title
    axes.set_title(
        f"{title} ({training.name})" + ("\nencoder's heads only" if encoder_only else "")
    )
    axes.set_xlabel(f"heads kept of {total}")
    axes.set_ylabel(f"{measure} ({'test' if measure == 'BLEU' else 'valid'})")
    axes.set_xlim(-0.03 * total, np.ceil(total * 1.04))
