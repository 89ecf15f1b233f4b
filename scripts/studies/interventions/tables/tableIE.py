"""Table IE: how well each estimator ranks interventions, and rewound components."""

from __future__ import annotations

from report.claims.tables import value_text
from report.table_files import MISSING, Table, read_record

from ..study import RECORD_KEYS
from .tableI import measured_text


def _row(what: str, ranking: dict) -> list[str]:
    chance, below = ranking["chance"], ranking["below"]
    return [
        what,
        ranking["estimator"],
        str(ranking["points"]),
        measured_text(ranking["spearman"]),
        value_text(chance),
        measured_text(ranking["kendall"]),
        MISSING if below is None else f"{100 * below:.0f} %",
    ]


def rankings_table(record: dict) -> Table:
    """A row per group of interventions and estimator, then per rewound training and estimator."""
    columns = [
        "what was ranked",
        "estimator",
        "points",
        "Spearman ρ",
        "p of ρ",
        "Kendall τ",
        "cost below prediction",
    ]
    rows = [_row(f"freezing, {one['of']}", one) for one in record["rankings"]]
    rows += [_row(f"rewinding, {one['training']}", one) for one in record["rewound_rankings"]]
    notes = [
        "Rank correlation of predicted and measured cost, each by the loss on the estimator's own "
        f"text. Brackets: 95 % of {record['draws']} resamplings of the points and of the probe's "
        "rows; resampling adds noise to an order, so they reach further down than up.",
        "p: share of the pairings of predictions and costs that agree at least as well. Cost below "
        "prediction: share of the points.",
        "The interventions of one model overlap in their cells, and those of several models are "
        "on different scales: the rows of single models are the stricter ones.",
    ]
    return Table("How well estimators rank interventions", columns, rows, notes)


def fill(inputs, options) -> Table:
    """The table of a run."""
    return rankings_table(read_record(inputs["record"][0], RECORD_KEYS))
