"""Sections of the report: general ones, and those of studies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from markupsafe import Markup

from common.study_modules import module_of_study
from running.study import Study

from .illustrations import Figure, TableFile
from .inputs import Run


@dataclass(frozen=True)
class Link:
    """A short link below a section's entry in the contents."""

    target: str
    title: str
    label: str


@dataclass(frozen=True)
class Section:
    """One section of the page.

    Attributes
    ----------
    id : str
        HTML id of its heading, unique on the page.
    title : str
    html : Markup
        Everything below the heading.
    links : tuple of Link
    """

    id: str
    title: str
    html: Markup
    links: tuple[Link, ...] = ()


@dataclass(frozen=True)
class StudyContext:
    """The data from which a study makes its sections.

    Attributes
    ----------
    study : Study
    run : Run
    figures, tables : mapping of number to Figure or TableFile
        In the study's order.
    claims : dict or None
        The record of its claims; None if they were not judged.
    render : callable (template, values) -> Markup
        Fills a template: a path below scripts/ such as "studies/noise/report/slopes.html.j2".
    """

    study: Study
    run: Run
    figures: Mapping[str, Figure]
    tables: Mapping[str, TableFile]
    claims: dict | None
    render: Callable[..., Markup]


def illustration_links(illustrations: Mapping[str, Figure | TableFile]) -> tuple[Link, ...]:
    """Links to figures or tables by number."""
    return tuple(Link(one.name, one.title, number) for number, one in illustrations.items())


def sections_of_study(context: StudyContext) -> list[Section]:
    """The study's own sections, or one section with all its figures and tables."""
    study = context.study
    if study.section is not None:
        return list(module_of_study(study.name, study.section).sections(context))
    html = context.render(
        "report/sections/study.html.j2", figures=context.figures, tables=context.tables
    )
    links = illustration_links(context.figures) + illustration_links(context.tables)
    return [Section(study.name, study.title, html, links)]
