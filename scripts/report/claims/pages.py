"""The claims as self-contained web pages: the matrix, and a page per claim."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import jinja2

from losschange.claims.verdicts import Condition
from losschange.plots.claims import ClaimPanel, draw_claim
from losschange.plots.style import freeze_layout, house_style
from report.claims.record import as_float, read_part
from report.claims.tables import (
    COLOURS,
    architecture_claims,
    changed_claims,
    column_names,
    interval_text,
    matrix_rows,
    value_text,
    verdict_counts,
)
from report.figure_files import METADATA

FOLDER = Path(__file__).parent


def matrix_page(record: dict) -> str:
    """The page of all claims; the same record gives the same text."""
    return _environment().get_template("claims.html.j2").render(**matrix_context(record))


def matrix_context(record: dict) -> dict:
    """Values for the template of the matrix, on its own page and in the report."""
    return {
        "record": record,
        "rows": matrix_rows(record),
        "counts": verdict_counts(record),
        "columns": column_names(record),
        "estimators": list(dict.fromkeys(column["estimator"] for column in record["columns"])),
        "changed": changed_claims(record),
        "architectures": len({column["architecture"] for column in record["columns"]}),
        "architecture_claims": architecture_claims(record),
    }


def claim_page(record: dict, claim: dict) -> str:
    """The page of one claim of the record."""
    return (
        _environment()
        .get_template("claim.html.j2")
        .render(
            claim=claim,
            columns=column_names(record),
            colours=COLOURS,
            value_text=value_text,
            interval_text=interval_text,
            plot=plot_uri(claim, column_names(record)),
        )
    )


def plot_uri(claim: dict, columns: list[str]) -> str | None:
    """The plot of a claim's numbers as a data URI; None if nothing was measured."""
    panels = claim_panels(claim, columns)
    if not any(panel.parts for panel in panels):
        return None
    file = io.BytesIO()
    with house_style():
        figure = draw_claim(panels)
        freeze_layout(figure)
        figure.savefig(file, format="svg", metadata=METADATA["svg"])
    return f"data:image/svg+xml;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def claim_panels(claim: dict, columns: list[str]) -> list[ClaimPanel]:
    """A panel per condition, with the measured values in every column of the matrix."""
    panels = []
    for place, found in enumerate(claim["conditions"]):
        bounds = {name: as_float(found[name]) for name in ("least", "most")}
        parts = {
            name: read_part(claim["results"][name]["parts"][place])
            for name in columns
            if place < len(claim["results"][name]["parts"])
        }
        panels.append(ClaimPanel(Condition(found["name"], found["unit"], **bounds), parts))
    return panels


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([FOLDER, FOLDER.parent]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
