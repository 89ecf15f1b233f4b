"""The study's section of the report: its figures, its table and its claims."""

from __future__ import annotations

from report.claims.pages import matrix_context
from report.sections import Section, StudyContext, illustration_links

TEMPLATE = "studies/objectives/report/objectives.html.j2"


def sections(context: StudyContext) -> list[Section]:
    """One section."""
    html = context.render(
        TEMPLATE,
        figures=context.figures,
        tables=context.tables,
        claims=matrix_context(context.claims) if context.claims else None,
    )
    links = illustration_links(context.figures) + illustration_links(context.tables)
    return [Section("objectives", context.study.title, html, links)]
