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
        courses=_last_points(record) if record else [],
        value_text=value_text,
        interval_text=interval_text,
    )
    return [Section("zhu2020", context.study.title, html, illustration_links(context.figures))]


def _last_points(record: dict) -> list[dict]:
    """Of every course of tau per parameter: its start, middle and end, of the judged models."""
    judged = record["main_models"]
    found = []
    for course in record["courses"]:
        if course["model"] not in judged or course["reading"] != PER_PARAMETER:
            continue
        last = len(course["updates"]) - 1
        points = [
            {name: course[name][place] for name in ("updates", "tau", "low", "high")}
            for place in (0, last // 2, last)
        ]
        found.append({**course, "points": points})
    return found
