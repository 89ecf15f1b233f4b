"""Figure I: what freezing and rewinding cells costs, against what LCA says."""

from __future__ import annotations

import math

from losschange.plots.interventions import Dot, Panel, draw_interventions
from losschange.plots.style import draw_message
from report.claims.record import as_float
from report.claims.tables import value_text
from report.table_files import read_record

from ..study import RECORD_KEYS

# The estimator of a training's panel on rewinding: the first of these that was recorded.
REWOUND_BY = ("simpson", "probe", "batch")


def agreement_text(ranking: dict) -> str:
    """Spearman's ρ with its interval, and the share of random orders that do as well."""
    value, low, high = ranking["spearman"]
    if value is None:
        return f"{ranking['points']} points: no order"
    text = f"ρ {value_text(value)}"
    if low is not None:
        text += f" [{value_text(low)}, {value_text(high)}]"
    return f"{text}, p {value_text(ranking['chance'])}"


def freezing_panels(record: dict) -> list[Panel]:
    """A panel per estimator, with all interventions."""
    panels = []
    for ranking in record["rankings"]:
        if ranking["of"] == "all":
            name, text = ranking["estimator"], ranking["text"]
            dots = [
                _dot(point["model"], point["kind"], point["predicted"][name], point["costs"][text])
                for point in record["points"]
                if name in point["predicted"]
            ]
            panels.append(Panel(name, agreement_text(ranking), dots))
    return panels


def rewinding_panels(record: dict) -> list[Panel]:
    """A panel per training, with every component of every layer."""
    panels = []
    rankings = {(r["training"], r["estimator"]): r for r in record["rewound_rankings"]}
    for training in dict.fromkeys(one["training"] for one in record["rewound"]):
        name = next(name for name in REWOUND_BY if (training, name) in rankings)
        ranking = rankings[training, name]
        dots = [
            _dot(training, "", one["contribution"][name], one["worth"][ranking["text"]])
            for one in record["rewound"]
            if one["training"] == training
        ]
        panels.append(Panel(f"{training}, rewound, {name}", agreement_text(ranking), dots))
    return panels


def _dot(model: str, kind: str, predicted: float, measured: list) -> Dot:
    value, low, high = map(as_float, measured)
    known = not math.isnan(low)
    return Dot(
        model.partition("-")[0],
        kind,
        as_float(predicted),
        value,
        low if known else value,
        high if known else value,
    )


def draw(inputs, options):
    """All interventions of the run."""
    record = read_record(inputs["record"][0], RECORD_KEYS)
    if not record["points"]:
        return draw_message("Figure I has nothing to show: `interventions` freezes no cells.")
    return draw_interventions(freezing_panels(record), rewinding_panels(record))
