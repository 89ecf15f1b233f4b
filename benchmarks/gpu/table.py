"""Results as tables in Markdown."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from .results import BEGUN, CUT, ENDED, Record

MISSING = "–"
NAMES = {"clm": "CLM", "mlm": "MLM", "mt": "MT"}
# Models of every objective in the paper, and updates of each.
PAPER_MODELS, PAPER_UPDATES = {"clm": 4, "mlm": 4, "mt": 7}, 125_000


def write_table(out: Path, records: Sequence[Record]) -> None:
    """Write table.md, replacing an earlier one at once."""
    text = "\n".join(tables(records)) + "\n"
    temporary = out / ".table.md.tmp"
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, out / "table.md")


def tables(records: Sequence[Record]) -> Iterator[str]:
    """All tables that the records fill, and what is missing."""
    yield "# Check of a device\n"
    if any(call["device"] == "cpu" for call in of(records, "call")):
        yield "A rehearsal on a CPU: every row is computed in single precision, whatever it says.\n"
    yield from stage_table(records)
    sections = (
        ("The card", card_lines),
        ("First updates", first_lines),
        ("Speed", speed_table),
        ("Equivalence", equivalence_table),
        ("Models", model_table),
    )
    for title, section in sections:
        lines = list(section(records))
        if lines:
            yield from (f"\n## {title}\n", *lines)


def of(records: Sequence[Record], *what: str) -> list[Record]:
    """The records of these kinds; of those that were measured twice, the later one."""
    keys = ("stage", "what", "objective", "way", "lca", "training", "recorded")
    found = {}
    for record in records:
        if record["what"] in what:
            found[tuple(record.get(key) for key in keys)] = record
    return list(found.values())


def stage_table(records: Sequence[Record]) -> Iterator[str]:
    """Each stage, its limit and its end."""
    limits = {record["stage"]: record["limit"] for record in of(records, BEGUN)}
    ends = {record["stage"]: record for record in of(records, ENDED)}
    cuts = {record["stage"]: record["reason"] for record in of(records, CUT)}
    rows = []
    for stage, limit in limits.items():
        end = ends.get(stage)
        seconds = MISSING if end is None or end["seconds"] is None else f"{end['seconds']:.0f}"
        state = cuts.get(stage, "not ended") if end is None else end["reason"] or "complete"
        rows.append([stage, f"{limit:.0f}", seconds, state])
    yield from markdown(["stage", "limit, s", "took, s", "end"], rows)
    for record in of(records, "failed"):
        place = ", ".join(record[key] for key in ("objective", "way") if key in record)
        yield f"\nNot measured: {record['stage']}, {place}: {record['reason']}"


def card_lines(records: Sequence[Record]) -> Iterator[str]:
    """The card and the versions."""
    for record in of(records, "card"):
        yield ", ".join(
            f"{name} {value}" for name, value in record.items() if name not in ("stage", "what")
        )


def first_lines(records: Sequence[Record]) -> Iterator[str]:
    """Conservation and waits of the first updates, and the memory of recording."""
    if firsts := of(records, "first updates"):
        yield from first_updates_table(firsts)
    for record in of(records, "memory"):
        yield (
            f"\nRecording {record['recorded']} holds {record['copies']:.2f} copies of the "
            f"parameters, {record['copies_at_peak']:.2f} at the peak of an update."
        )


def first_updates_table(firsts: Sequence[Record]) -> Iterator[str]:
    """Conservation and waits of the first updates."""
    rows = [
        [
            NAMES[record["objective"]],
            record["precision"],
            f"{record['recorded']} of {len(record['losses'])}",
            number(record["probe_over_change"], ".3f"),
            number(record["simpson_over_change"], ".3f"),
            number(record.get("waits_batch"), "d"),
            number(record.get("waits_probe"), "d"),
        ]
        for record in firsts
    ]
    head = ["objective", "precision", "updates", "ΣLCA / change, probe", "simpson"]
    yield from markdown([*head, "waits of an update, batch", "with probes"], rows)


def speed_table(records: Sequence[Record]) -> Iterator[str]:
    """A row for every objective, way and recording."""
    rows = []
    for one in of(records, "speed"):
        ratio = MISSING
        if "ratio" in one:
            ratio = f"{one['ratio']:.3f} ({one['ratio_lowest']:.3f} to {one['ratio_highest']:.3f})"
        rows.append(
            [
                NAMES[one["objective"]],
                one["way"],
                f"{one['max_tokens']:,} x {one['update_frequency']} in {one['passes']}",
                one["lca"],
                f"{one['tokens_per_second']:,.0f}",
                f"{1 / one['seconds_per_update']:.2f}",
                ratio,
                f"{one['share_of_peak']:.0%}",
                number(one.get("gigabytes"), ".1f"),
                f"{PAPER_UPDATES * one['seconds_per_update'] / 3600:.1f}",
            ]
        )
    if rows:
        head = ["objective", "way", "tokens x batches in passes", "LCA", "tokens/s", "updates/s"]
        head += ["x without LCA", "share of the peak", "GB", "hours of a model"]
        yield from markdown(head, rows)
        yield from projection(records)


def projection(records: Sequence[Record]) -> Iterator[str]:
    """Hours of the paper's 15 models, for ways and recordings measured with every objective."""
    hours: dict[tuple[str, str], dict[str, float]] = {}
    for one in of(records, "speed"):
        found = hours.setdefault((one["way"], one["lca"]), {})
        found[one["objective"]] = PAPER_UPDATES * one["seconds_per_update"] / 3600
    yield ""
    for (way, lca), found in hours.items():
        if found.keys() == PAPER_MODELS.keys():
            whole = sum(PAPER_MODELS[objective] * value for objective, value in found.items())
            yield f"- All 15 models, {way}, LCA {lca}: {whole:,.1f} hours"


def equivalence_table(records: Sequence[Record]) -> Iterator[str]:
    """A row for every objective and training beside the reference."""
    losses = {one["objective"]: one["loss"] for one in of(records, "reference")}
    rows = []
    for one in of(records, "profile"):
        known = {
            name: value
            for name, value in one["correlations"].items()
            if name != "all" and value is not None
        }
        least = min(known, key=known.__getitem__, default=None)
        rows.append(
            [
                NAMES[one["objective"]],
                one["training"],
                str(one["updates"]),
                str(one["overflows"]),
                f"{number(one['loss'], '.4f')} ({losses[one['objective']]:.4f})",
                number(one["largest_difference"], ".2g"),
                number(one["correlations"]["all"], ".5f"),
                MISSING if least is None else f"{known[least]:.5f} ({least})",
            ]
        )
    if rows:
        head = ["objective", "training", "updates", "overflows", "loss (of stock, fp32)"]
        head += ["largest difference", "correlation of the profiles", "least of a component"]
        yield from markdown(head, rows)


def model_table(records: Sequence[Record]) -> Iterator[str]:
    """A row for every model of the last stage."""
    rows = [
        [
            one["model"],
            one.get("text", MISSING),
            f"{one['updates']:,}",
            "yes" if one["complete"] else f"no: {one['reason']}",
        ]
        for one in of(records, "model")
    ]
    if rows:
        yield from markdown(["model", "text", "updates", "complete"], rows)


def number(value: float | None, form: str) -> str:
    """A number as text, a dash for none."""
    return MISSING if value is None else f"{value:{form}}"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines of a table."""
    for cells in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(cells)} |"
