"""Results of a check as parts of the documentation and of the cost table's measurements."""

from __future__ import annotations

import csv
import datetime
import io
import re
import shutil
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from . import ROOT
from .paper_page import write_page
from .results import Record, ResultLog
from .scales import PAPER
from .speed import CELLS, COMPILED, FAST_WAY, ONE_PASS, STOCK_WAY
from .table import NAMES, equivalence_table, first_lines, of, speed_table

PERFORMANCE, THROUGHPUTS = "docs/performance.md", "scripts/running/throughputs.csv"
AGREEMENTS = "scripts/running/agreements.csv"
PAGE, NAVIGATION = "docs/results-at-paper-size.md", "mkdocs.yml"
START, END = "<!-- measured: start -->", "<!-- measured: end -->"
# Names in throughputs.csv of the ways whose speed the cost table uses.
WAYS = {
    STOCK_WAY.name: "stock",
    ONE_PASS.name: "stock",
    FAST_WAY.name: "fast",
    COMPILED.name: "compiled",
}


class PublishingError(Exception):
    """The results must not or cannot be published: says why, and what to do."""


def publish(results: Path, into: Path | None, measured_on: datetime.date) -> list[Path]:
    """Put the results of a folder into the documentation.

    Parameters
    ----------
    results : path
        What gpu_check.py wrote.
    into : path or None
        Another folder, which gets changed copies of the files; None changes the project's own.
    measured_on : date

    Returns
    -------
    list of path
        The files that were written.

    Raises
    ------
    PublishingError
        If there are no results, or they are a rehearsal's and `into` is None.
    """
    records = ResultLog(results).read()
    calls = of(records, "call")
    if not calls:
        raise PublishingError(f"{results} holds no results of gpu_check.py")
    rehearsed = any(call["device"] != "cuda" or call["scale"] != PAPER.name for call in calls)
    if rehearsed and into is None:
        raise PublishingError(
            f"{results} holds a rehearsal, whose numbers say nothing of a GPU; give --into a "
            "folder to see what its pages look like"
        )
    speeds, root = of(records, "speed"), into or ROOT
    cards = of(records, "card")
    if not speeds or not cards:
        raise PublishingError(f"{results} holds no measured speed: there is nothing to publish")
    source = described(cards[0], measured_on)
    if into is not None:
        if into.resolve() == ROOT:
            raise PublishingError("--into is the project's own folder")
        for name in (PERFORMANCE, THROUGHPUTS, AGREEMENTS, NAVIGATION):
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, into / name)
    models = [one for one in of(records, "model") if _summary(results, one).is_file()]
    changed = {
        PERFORMANCE: between_marks(
            (root / PERFORMANCE).read_text(encoding="utf-8"),
            performance(records, source, bool(models)),
        ),
        THROUGHPUTS: throughputs(
            (root / THROUGHPUTS).read_text(encoding="utf-8"), speeds, cards[0]["card"], source
        ),
    }
    if found := of(records, "agreement"):
        table = (root / AGREEMENTS).read_text(encoding="utf-8")
        changed[AGREEMENTS] = agreements(table, found, source)
    if models:
        navigation = (root / NAVIGATION).read_text(encoding="utf-8")
        changed[NAVIGATION] = with_page(navigation)
    for name, text in changed.items():
        (root / name).write_text(text, encoding="utf-8")
    written = [root / name for name in changed]
    if models:
        summaries = {one["model"]: _summary(results, one) for one in models}
        written += write_page(root / PAGE, models, summaries, source)
    return written


def described(card: Record, measured_on: datetime.date) -> str:
    """The date of the measurement, the card and the versions."""
    torch = str(card["torch"]).partition("+")[0]
    return (
        f"{measured_on}; {card['card']}, Python {card['python']}, PyTorch {torch}, "
        f"fairseq-fixed {card['fairseq-fixed']}"
    )


def performance(records: Sequence[Record], source: str, page: bool) -> str:
    """The text between the marks of docs/performance.md."""
    lines = [
        f"Measured {source}; drawn tokens by Zipf's law, in sentences as long as Europarl's.\n"
    ]
    lines += [*speed_table(records), "", "The first updates, and what recording holds:", ""]
    lines += first_lines(records)
    profiles = list(equivalence_table(records))
    if profiles:
        lines += [
            "",
            "Half precision and the faster ways beside stock fairseq in single precision,",
        ]
        lines += ["without dropout, at 4,096 tokens an update:", "", *profiles]
    lines += ["", *not_measured(records)]
    if page:
        name = Path(PAGE).name
        lines += ["", f"[Three models at the paper's size]({name}), trained in what time was left."]
    return "\n".join(lines)


def not_measured(records: Sequence[Record]) -> list[str]:
    """A line for every way without a speed and every comparison that failed, with the reason."""
    measured = {(one["objective"], one["way"]) for one in of(records, "speed")}
    reasons = {(one.get("objective"), one.get("way")): one for one in of(records, "failed")}
    missing = [(objective, way.name) for objective, way in CELLS]
    missing = [cell for cell in missing if cell not in measured and cell not in reasons]
    lines = [f"- Not measured: {NAMES[one]}, {way}: no time was left" for one, way in missing]
    for (objective, way), one in reasons.items():
        what = ", ".join([NAMES.get(objective, one["stage"]), way or one["stage"]])
        lines.append(f"- Not measured: {what}: {one['reason']}")
    return lines


def between_marks(text: str, new: str) -> str:
    """A page with other text between its two marks.

    Raises
    ------
    PublishingError
        If it lacks a mark.
    """
    before, _, rest = text.partition(START)
    _, found, after = rest.partition(END)
    if not found:
        raise PublishingError(f"{PERFORMANCE} lacks the marks {START} and {END}")
    return f"{before}{START}\n{new.strip()}\n{END}{after}"


def throughputs(table: str, speeds: Sequence[Record], card: str, source: str) -> str:
    """throughputs.csv with the measured speeds in the place of earlier ones of the same kind.

    Raises
    ------
    PublishingError
        If a hardware that the table does not know was not measured with every objective.
    """
    rows = list(csv.DictReader(io.StringIO(table)))
    columns, hardware = list(rows[0]), hardware_name(card)
    shape = PAPER.training_of("clm")
    new = []
    for one in speeds:
        if one["way"] not in WAYS or one["lca"] != "off":
            continue
        row = {name: str(shape[name]) for name in columns if name in shape}
        new.append(
            row
            | {
                "hardware": hardware,
                "objective": one["objective"],
                "way": WAYS[one["way"]],
                "vocabulary": str(PAPER.vocabulary),
                "max_tokens": str(one["max_tokens"]),
                "update_frequency": str(one["update_frequency"]),
                "tokens_per_update": f"{one['tokens_per_update']:.0f}",
                "tokens_per_second": f"{one['tokens_per_second']:.0f}",
                "source": source,
            }
        )
    key = ("hardware", "objective", "way", "max_tokens", "update_frequency")
    replaced = {tuple(row[name] for name in key) for row in new}
    kept = [row for row in rows if tuple(row[name] for name in key) not in replaced]
    objectives = {row["objective"] for row in [*kept, *new] if row["hardware"] == hardware}
    if missing := {row["objective"] for row in rows} - objectives:
        raise PublishingError(
            f"no speed of {', '.join(sorted(missing))} on {card}: the cost table needs all three; "
            "run the stage speed again"
        )
    lines = [",".join(columns)]
    for row in sorted([*new, *kept], key=lambda row: row["hardware"] != hardware):
        # Only the last column is in quotes, as in the lines that are kept.
        quoted = row["source"].replace('"', '""')
        lines.append(",".join([*(row[name] for name in columns[:-1]), f'"{quoted}"']))
    return "\n".join(lines) + "\n"


def agreements(table: str, found: Sequence[Record], source: str) -> str:
    """agreements.csv with the distances of the first updates that were measured on the card."""
    from running.agreements import Circumstances, Distance, with_line

    for one in found:
        of_it = Circumstances(**{name.name: one[name.name] for name in fields(Circumstances)})
        # A distance that is not finite was written as None.
        shares = [float("inf") if one[name] is None else one[name] for name in ("loss", "cells")]
        table = with_line(table, of_it, Distance(*shares), source)
    return table


def hardware_name(card: str) -> str:
    """The short name of a card: "NVIDIA H100 80GB HBM3" is h100."""
    found = re.search(r"\b((?:[A-Z]{1,2}|RTX )\d{1,4}[A-Z]?)\b", card)
    return (found[1] if found else card).replace(" ", "").lower()


def with_page(navigation: str) -> str:
    """mkdocs.yml with the page of the models below the results of the sample."""
    entry = f"      - At the paper's size: {Path(PAGE).name}\n"
    if entry in navigation:
        return navigation
    last = "      - Tables: results/tables.md\n"
    if last not in navigation:
        raise PublishingError(f"{NAVIGATION} has no entry {last.strip()!r} to put the page below")
    return navigation.replace(last, last + entry)


def _summary(results: Path, model: Record) -> Path:
    return results / "summaries" / f"{model['model']}.nc"
