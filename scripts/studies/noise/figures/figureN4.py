"""Figure N4: noise of a causal and a masked language model, as trained and with equal targets."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from losschange.plots.style import draw_message, look_of, new_figure
from studies.noise.claims.laws import ALIKE, equal_targets
from studies.noise.records import Records, interval, late_noise, late_rate, read_records, total

from .looks import logarithmic

TITLES = {
    "noise ÷ measured part": lambda record: total(record, "noise") / total(record, "measured"),
    "noise per unit of learning rate, second half\n(nats per token)": lambda record: (
        late_noise(record) / late_rate(record)
    ),
}
CHOICES = ("as trained", "equal targets")


def draw_pairs(records: Records) -> Figure:
    """A panel per measure of noise, and one with its ratio between the two objectives."""
    pairs = _pairs(records)
    figure = new_figure(2.6)
    panels = figure.subplots(1, len(TITLES) + 1, width_ratios=[*[1.0] * len(TITLES), 1.2])
    ratios = {}
    for axes, (title, number) in zip(panels, TITLES.items()):
        for place, choice in enumerate(CHOICES):
            _draw_pair(axes, place, pairs[choice], number)
            ratios[title, choice] = number(pairs[choice]["mlm"]) / number(pairs[choice]["clm"])
        axes.set_title(title)
        logarithmic(axes, "y")
        axes.set_xlim(-0.75, len(CHOICES) - 0.25)
        axes.set_xticks(range(len(CHOICES)), CHOICES)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower left", ncols=2)
    _draw_ratios(panels[-1], ratios)
    return figure


def _pairs(records: Records) -> dict[str, dict[str, xr.Dataset]]:
    """The trainings of both objectives, by choice of the batch and by objective."""
    equal = {name: records.trainings[model] for name, (model, _) in equal_targets(records).items()}
    models = [records.trainings[model] for model in records.models()]
    trained = {str(record.attrs["objective"]): record for record in models}
    return dict(zip(CHOICES, (trained, equal), strict=True))


def _draw_pair(axes: Axes, place: int, pair: dict[str, xr.Dataset], number) -> None:
    for shift, objective in ((-0.12, "clm"), (0.12, "mlm")):
        record, look = pair[objective], look_of(objective)
        value, low, high = interval(number(record))
        label = look.title if place == 0 else None
        axes.plot(
            place + shift, value, color=look.colour, marker=look.marker, markersize=4,
            linestyle="none", label=label,
        )  # fmt: skip
        axes.vlines(place + shift, low, high, color=look.colour, linewidth=1)
        axes.annotate(
            f"B = {float(record['targets'][0]):.0f}", (place + shift, value),
            xytext=(4 if shift > 0 else -4, 0), textcoords="offset points", size=5.5, va="center",
            ha="left" if shift > 0 else "right",
        )  # fmt: skip


def _draw_ratios(axes: Axes, ratios: dict[tuple[str, str], np.ndarray]) -> None:
    """MLM over CLM; the shaded range is that of claim N-e."""
    axes.axvspan(*ALIKE, color="0.9")
    axes.axvline(1, color="0.4", linewidth=0.6)
    labels = [f"{title.split(',')[0]}\n{choice}" for title, choice in ratios]
    for place, values in enumerate(ratios.values()):
        value, low, high = interval(values)
        axes.plot(value, -place, color="black", marker="o", markersize=3.5)
        axes.hlines(-place, low, high, color="black", linewidth=1)
    axes.set_yticks([-place for place in range(len(ratios))], labels)
    logarithmic(axes, "x")
    axes.set_title("MLM over CLM")


def draw(inputs, options) -> Figure:
    """The figure of a run."""
    records = read_records(inputs["records"], options["vocabulary"])
    if not {"clm", "mlm"} <= equal_targets(records).keys():
        return draw_message(
            "Figure N4 has nothing to show: this run has no causal and masked language model with "
            "equal targets (noise.equal_targets, noise.models)."
        )
    return draw_pairs(records)
