"""The study's section of the report, right after the one on whether the sums add up."""

from __future__ import annotations

from report.sections import Section, StudyContext, illustration_links


def sections(context: StudyContext) -> list[Section]:
    """One section: what the parts are, their sums, figures, and claims."""
    html = context.render(
        "studies/noise/report/noise.html.j2", figures=context.figures, tables=context.tables
    )
    links = illustration_links(context.figures) + illustration_links(context.tables)
    return [Section("noise", context.study.title, html, links)]
