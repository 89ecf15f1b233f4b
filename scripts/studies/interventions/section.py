"""The study's section of the report: claims, figure, tables."""

from __future__ import annotations

from report.claims.tables import COLOURS, interval_text, value_text
from report.sections import Section, StudyContext, illustration_links

TEMPLATE = "studies/interventions/report/interventions.html.j2"


def sections(context: StudyContext) -> list[Section]:
    """One section."""
    html = context.render(
        TEMPLATE,
        figures=context.figures,
        tables=context.tables,
        record=context.claims,
        colours=COLOURS,
        value_text=value_text,
        interval_text=interval_text,
    )
    links = illustration_links(context.figures) + illustration_links(context.tables)
    return [Section(context.study.name, context.study.title, html, links)]
