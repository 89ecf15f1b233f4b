"""The claims as a matrix of claim by estimator, as CSV and as Markdown."""

from __future__ import annotations

import re
from dataclasses import dataclass

from losschange.claims import FAILS, HOLDS, UNKNOWN
from report.claims.record import INFINITE
from report.table_files import MISSING, Table, as_csv, as_markdown

MARKS = {HOLDS: "✓", FAILS: "✗", UNKNOWN: "?"}
COLOURS = {HOLDS: "good", FAILS: "bad", UNKNOWN: "open"}


@dataclass(frozen=True)
class VerdictCell:
    """One claim under one estimator: verdict, its colour and mark, and the deciding number."""

    verdict: str
    colour: str
    mark: str
    value: str
    interval: str
    reason: str


@dataclass(frozen=True)
class ClaimRow:
    """One claim and its cells, aligned with the record's columns."""

    number: int
    where: str
    statement: str
    criterion: str
    cells: list[VerdictCell]


def column_names(record: dict) -> list[str]:
    """Columns of the matrix: estimators of stock models, then of the matched architecture."""
    return [column["name"] for column in record["columns"]]


def matrix_rows(record: dict) -> list[ClaimRow]:
    """All claims in order."""
    return [
        ClaimRow(
            claim["number"],
            _where(claim["section"]),
            claim["statement"],
            claim["criterion"],
            [_cell(claim["results"][name]) for name in column_names(record)],
        )
        for claim in record["claims"]
    ]


def verdict_counts(record: dict) -> list[tuple[str, dict[str, int]]]:
    """Per column, how many claims have each verdict."""
    counts = []
    for name in column_names(record):
        verdicts = [claim["results"][name]["verdict"] for claim in record["claims"]]
        counts.append((name, {verdict: verdicts.count(verdict) for verdict in MARKS}))
    return counts


def changed_claims(record: dict) -> list[int]:
    """Claims that hold under one estimator and do not hold under another."""
    return _disagreements(record, "architecture")


def architecture_claims(record: dict) -> list[int]:
    """Claims that hold for one architecture and not for the other, under the same estimator."""
    return _disagreements(record, "estimator")


def _disagreements(record: dict, same: str) -> list[int]:
    """Claims that hold in one column but not in another column with the same value of `same`."""
    groups: dict[str, list[str]] = {}
    for column in record["columns"]:
        groups.setdefault(column[same], []).append(column["name"])
    return [
        claim["number"]
        for claim in record["claims"]
        if any(
            {HOLDS, FAILS} <= {claim["results"][name]["verdict"] for name in names}
            for names in groups.values()
        )
    ]


def value_text(value: float | str | None) -> str:
    """Three significant digits."""
    if value is None:
        return MISSING
    if isinstance(value, str):
        return value.replace(INFINITE, "∞").replace("-", "−")
    return f"{value:.3g}".replace("-", "−")


def interval_text(part: dict) -> str:
    """[low, high]; MISSING without an interval."""
    if part["low"] is None:
        return MISSING
    return f"[{value_text(part['low'])}, {value_text(part['high'])}]"


def claims_csv(record: dict) -> str:
    """A row per claim, column, condition and model; the verdict is based on the model "all"."""
    columns = ["claim", "section", "statement", "estimator", "architecture", "verdict", "reason"]
    columns += ["condition", "range", "unit", "model", "value", "low", "high", "condition_verdict"]
    columns += ["models", "replicates"]
    rows = []
    for claim in record["claims"]:
        start = [str(claim["number"]), claim["section"], claim["statement"]]
        for column in record["columns"]:
            result = claim["results"][column["name"]]
            head = [*start, column["estimator"], column["architecture"]]
            head += [result["verdict"], result["reason"]]
            tail = [" ".join(result["models"]), str(result["replicates"])]
            if not result["parts"]:
                rows.append([*head, *[MISSING] * 8, *tail])
            for condition, part in zip(claim["conditions"], result["parts"], strict=False):
                about = [condition["name"], condition["range"], condition["unit"]]
                whole = [part["value"], part["low"], part["high"]]
                rows.append([*head, *about, "all", *map(_plain, whole), part["verdict"], *tail])
                for model, values in part["models"].items():
                    rows.append([*head, *about, model, *map(_plain, values), MISSING, *tail])
    return as_csv(Table("claims", columns, rows))


def claims_markdown(record: dict) -> str:
    """The matrix with marks, numbers and intervals."""
    rows = []
    for row in matrix_rows(record):
        cells = [f"{cell.mark} {cell.value} {cell.interval}" for cell in row.cells]
        rows.append([str(row.number), row.where, row.statement, *cells])
    notes = [f"{mark}: {verdict}." for verdict, mark in MARKS.items()]
    notes.append(
        "The number is that of the condition that decides, the bracket its 95 % interval from "
        f"{record['draws']} resamplings."
    )
    return as_markdown(
        Table("Claims", ["claim", "where", "statement", *column_names(record)], rows, notes)
    )


def _where(section: str) -> str:
    """A section's number with its sign; other places, such as "abstract", unchanged."""
    return f"§{section}" if re.fullmatch(r"[0-9.]+", section) else section


def _cell(result: dict) -> VerdictCell:
    verdict, value, interval = result["verdict"], MISSING, ""
    if result["deciding"] is not None:
        part = result["parts"][result["deciding"]]
        value, interval = value_text(part["value"]), interval_text(part)
    return VerdictCell(verdict, COLOURS[verdict], MARKS[verdict], value, interval, result["reason"])


def _plain(value: float | str | None) -> str:
    return MISSING if value is None else str(value)
