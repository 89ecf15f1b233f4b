"""The study's part of the report: its figures, what they show together, and its claims."""

from __future__ import annotations

from report.claims.pages import matrix_context
from report.claims.tables import interval_text, value_text
from report.sections import Section, StudyContext, illustration_links

TEMPLATE = "studies/representations/report/{}.html.j2"


def sections(context: StudyContext) -> list[Section]:
    """Figures and claims, in the order of the page."""
    claims = matrix_context(context.claims) if context.claims else None
    similar = _claim(context.claims, 18)
    values = {
        "figures": context.figures,
        "claims": claims,
        "similar": similar,
        "relation": _claim(context.claims, 20),
        "relations": (context.claims or {}).get("relations", []),
        "value_text": value_text,
        "interval_text": interval_text,
    }
    return [
        Section(
            "spaces",
            context.study.title,
            context.render(TEMPLATE.format("figures"), **values),
            illustration_links(context.figures),
        ),
        Section(
            "spaces-claims",
            "Claims on representation spaces",
            context.render(TEMPLATE.format("claims"), **values),
        ),
    ]


def _claim(record: dict | None, number: int) -> dict | None:
    """A claim's record; None if it was not judged."""
    claims = record["claims"] if record else []
    return next((claim for claim in claims if claim["number"] == number), None)
