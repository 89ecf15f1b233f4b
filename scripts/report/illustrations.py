"""Figures, tables and their captions, in the form that the page shows."""

from __future__ import annotations

import base64
import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.files import UserError
from report.values import Grid, make_grid

# SVG files above this size make the page slow; the PNG is shown instead.
LARGEST_SVG = 1_000_000  # bytes

Text = list[tuple[str, bool]]


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes
    ----------
    name : str
        Such as "figure1".
    image : str or None
        A data URI; None if the run has no such figure.
    title : str
        First paragraph of the caption, as plain text.
    caption : list of Text
        The further paragraphs of the caption.
    models : list of str
        The models shown, from top to bottom.
    """

    name: str
    image: str | None
    title: str
    caption: list[Text]
    models: list[str]


@dataclass(frozen=True)
class TableFile:
    """One table; `grid` is None if the run has no such table."""

    name: str
    grid: Grid | None
    title: str
    caption: list[Text]
    notes: list[str]


def read_figure(
    number: str, folder: Path | None, captions: Path, models: Sequence[str] = ()
) -> Figure:
    """Read one figure; also works for a figure that this run does not have.

    Parameters
    ----------
    number : str
    folder : path, optional
        Folder of the figures.
    captions : path
        Folder with figure<number>.rst.
    models : sequence of str
        The models that the figure shows.

    Raises
    ------
    UserError
        If its caption is missing.
    """
    name = f"figure{number}"
    title, caption = read_caption(captions / f"{name}.rst")
    image = data_uri(folder / name) if folder else None
    return Figure(name, image, title, caption, list(models))


def read_table(number: str, folder: Path | None, captions: Path) -> TableFile:
    """Read one table: rows from its CSV, notes from its Markdown; also works for missing tables.

    Raises
    ------
    UserError
        If its caption is missing or the CSV is damaged.
    """
    name = f"table{number}"
    title, caption = read_caption(captions / f"{name}.rst")
    grid, notes = _read_table(folder / name) if folder else (None, [])
    return TableFile(name, grid, title, caption, notes)


def data_uri(stem: Path) -> str | None:
    """stem.svg as a data URI, or stem.png if the SVG is too large or missing; None without both.

    Raises
    ------
    UserError
        If the file chosen is empty.
    """
    svg, png = stem.with_name(f"{stem.name}.svg"), stem.with_name(f"{stem.name}.png")
    if svg.is_file() and (svg.stat().st_size <= LARGEST_SVG or not png.is_file()):
        path, kind = svg, "image/svg+xml"
    elif png.is_file():
        path, kind = png, "image/png"
    else:
        return None
    content = path.read_bytes()
    if not content:
        raise UserError(f"{path} is empty; draw the figure again")
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def read_caption(path: Path) -> tuple[str, list[Text]]:
    """The title and the further paragraphs of a caption.

    Captions use only two elements of reStructuredText: empty lines between paragraphs and ``code``.

    Raises
    ------
    UserError
        If there is no such caption, or it is empty.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(
            f"no caption at {path}; write one: its first paragraph is the title"
        ) from None
    paragraphs = [marked(paragraph) for paragraph in re.split(r"\n\s*\n", text.strip())]
    title = "".join(part for part, _ in paragraphs[0])
    if not title:
        raise UserError(f"the caption {path} is empty; its first paragraph is the title")
    return title, paragraphs[1:]


def marked(paragraph: str) -> Text:
    """Split a paragraph into (text, whether it is code); line breaks become spaces."""
    parts = " ".join(paragraph.split()).split("``")
    return [(part, bool(position % 2)) for position, part in enumerate(parts) if part]


def _read_table(stem: Path) -> tuple[Grid | None, list[str]]:
    path = stem.with_name(f"{stem.name}.csv")
    if not path.is_file():
        return None, []
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        raise UserError(f"{path} is empty or has rows of unequal length; make the table again")
    return make_grid(rows[0], rows[1:]), _notes(stem.with_name(f"{stem.name}.md"))


def _notes(path: Path) -> list[str]:
    # The CSV contains no notes.
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.removeprefix("- ") for line in lines if line.startswith("- ")]
