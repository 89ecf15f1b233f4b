"""The study's part of the report: quality, figures, agreement with the exact gradient, claims."""

from __future__ import annotations

from report.claims.pages import matrix_context
from report.claims.tables import interval_text, value_text
from report.sections import Section, StudyContext, illustration_links

from .bleu import bleu_rows
from .profiles import PER_PARAMETER

TEMPLATE = "studies/zhu2020/report/zhu2020.html.j2"


def sections(context: StudyContext) -> list[Section]:
    """One section."""
    record = context.claims
    html = context.render(
        TEMPLATE,
        figures=context.figures,
        bleu=bleu_rows(context.run),
        claims=matrix_context(record) if record else None,
        courses=_points_of_courses(record) if record else [],
        value_text=value_text,
        interval_text=interval_text,
    )
    return [Section("zhu2020", context.study.title, html, illustration_links(context.figures))]


def _points_of_courses(record: dict) -> list[dict]:
    """The courses of tau per parameter of the judged models, point by point."""
    judged = record["main_models"]
    found = []
    for course in record["courses"]:
        if course["model"] not in judged or course["reading"] != PER_PARAMETER:
            continue
        points = [
            {name: course[name][place] for name in ("updates", "tau", "low", "high")}
            for place in range(len(course["updates"]))
        ]
        found.append({**course, "points": points})
    return found
