"""The study's part of the report: what was found, in numbers, its claims and its figures."""

from __future__ import annotations

from dataclasses import replace

from report.claims.tables import MARKS, interval_text, value_text
from report.sections import Section, StudyContext, illustration_links

from .inputs import COLUMN

TEMPLATE = "studies/attention_heads/report/section.html.j2"


def sections(context: StudyContext) -> list[Section]:
    """One section: claims, then figures."""
    shown = context.claims["main_models"] if context.claims else []
    figures = {number: replace(each, models=shown) for number, each in context.figures.items()}
    html = context.render(
        TEMPLATE,
        claims=claim_rows(context.claims) if context.claims else [],
        figures=figures,
    )
    links = illustration_links(figures)
    return [Section(context.study.name, context.study.title, html, links)]


def claim_rows(record: dict) -> list[dict]:
    """Every claim with its verdict, the reason, and the numbers of every condition."""
    rows = []
    for claim in record["claims"]:
        result = claim["results"][COLUMN]
        parts = [
            {
                "name": condition["name"],
                "range": condition["range"],
                "value": value_text(part["value"]),
                "interval": interval_text(part),
                "models": ", ".join(
                    f"{model} {value_text(numbers[0])}" for model, numbers in part["models"].items()
                ),
            }
            for condition, part in zip(claim["conditions"], result["parts"])
        ]
        rows.append(
            {
                "number": claim["number"],
                "section": claim["section"],
                "statement": claim["statement"],
                "method": claim["method"],
                "mark": MARKS[result["verdict"]],
                "verdict": result["verdict"],
                "reason": result["reason"],
                "parts": parts,
            }
        )
    return rows
