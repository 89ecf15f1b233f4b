"""Tables of text, written as CSV, Markdown and LaTeX with the same content."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path

from common.files import replace_when_complete
from common.json_records import read_record as read_record

MISSING = "–"

LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "−": "$-$",
    "×": r"$\times$",
    "Σ": r"$\Sigma$",
    "→": r"$\rightarrow$",
    "≤": r"$\le$",
    "≥": r"$\ge$",
    "·": r"$\cdot$",
}


@dataclass(frozen=True)
class Table:
    """One table.

    Parameters
    ----------
    title : str
        Caption without the table's number.
    columns : list of str
        Headings.
    rows : list of lists of str
        One entry per column; MISSING where there is no value.
    notes : list of str
        Sentences below the table; not in the CSV.
    """

    title: str
    columns: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)

    def __post_init__(self):
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"a row of {len(row)} entries in a table of {len(self.columns)} columns: {row}"
                )


def write_table(table: Table, stem: Path) -> None:
    """Write stem.csv, stem.md and stem.tex; the same table gives the same bytes."""
    for suffix, text in (
        ("csv", as_csv(table)),
        ("md", as_markdown(table)),
        ("tex", as_latex(table)),
    ):
        with replace_when_complete(stem.with_name(f"{stem.name}.{suffix}")) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")


def as_csv(table: Table) -> str:
    """Headings and rows; the field of a missing value is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.columns)
    for row in table.rows:
        writer.writerow(["" if entry == MISSING else entry for entry in row])
    return text.getvalue()


def as_markdown(table: Table) -> str:
    """A pipe table with title and notes; its columns are also aligned in plain text."""
    lines = [[entry.replace("|", "\\|") for entry in row] for row in [table.columns, *table.rows]]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]

    def line(entries: list[str]) -> str:
        padded = [
            entry.ljust(width) if position == 0 else entry.rjust(width)
            for position, (entry, width) in enumerate(zip(entries, widths, strict=True))
        ]
        return "| " + " | ".join(padded) + " |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    parts = [f"**{table.title}**", "", line(lines[0]), line(rule), *map(line, lines[1:])]
    if table.notes:
        parts += ["", *(f"- {note}" for note in table.notes)]
    return "\n".join(parts) + "\n"


def as_latex(table: Table) -> str:
    """A `table` environment that needs no packages."""
    rows = [" & ".join(map(escape_latex, row)) + r" \\" for row in table.rows]
    notes = [rf"  \par\smallskip\footnotesize {escape_latex(note)}" for note in table.notes]
    return (
        "\n".join(
            [
                r"\begin{table}",
                r"  \centering\small",
                rf"  \caption{{{escape_latex(table.title)}}}",
                rf"  \begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
                r"    \hline",
                "    " + " & ".join(map(escape_latex, table.columns)) + r" \\",
                r"    \hline",
                *(f"    {row}" for row in rows),
                r"    \hline",
                r"  \end{tabular}",
                *notes,
                r"\end{table}",
            ]
        )
        + "\n"
    )


def escape_latex(text: str) -> str:
    """Text in which all special characters of LaTeX are escaped."""
    return "".join(LATEX.get(letter, letter) for letter in text)


def number_text(value: float) -> str:
    """Three significant digits; integers and numbers from 1,000 in full; MISSING for NaN."""
    if value != value:
        return MISSING
    if float(value).is_integer() or abs(value) >= 1000:
        return f"{value:.0f}"
    return f"{value:.3g}"
