"""The paper's part of the report: figures, tables, claims, estimators, robustness, oddities."""

from __future__ import annotations

from losschange.claims.agreement import ZHU_KENDALL
from report.claims.pages import matrix_context, plot_uri
from report.claims.tables import interval_text, value_text
from report.sections import Section, StudyContext, illustration_links

from .oddities import ODDITIES

FOLDER = "studies/vazquez2022/report"
# Every section has a template with its name.
TITLES = {
    "figures": "Figures",
    "tables": "Tables",
    "claims": "The paper's claims",
    "estimators": "The estimator question",
    "robustness": "Objective, language, corpus or size?",
    "oddities": "Oddities of the paper",
}
PRINTED_FIGURES = ("1", "2", "3", "4", "5", "6")


def sections(context: StudyContext) -> list[Section]:
    """The sections in the order of the page."""
    figures = {number: context.figures[number] for number in PRINTED_FIGURES}
    values = {
        "figures": figures,
        "tables": context.tables,
        "claims": _claims_context(context.claims) if context.claims else None,
        "estimator_figure": context.figures["E"],
        "distance_figure": context.figures["D"],
        "zhu_kendall": ZHU_KENDALL,
        "value_text": value_text,
        "interval_text": interval_text,
        "oddities": ODDITIES,
    }
    links = {
        "figures": illustration_links(figures),
        "tables": illustration_links(context.tables),
    }
    found = []
    for name, title in TITLES.items():
        html = context.render(f"{FOLDER}/{name}.html.j2", **values)
        found.append(Section(name, title, html, links.get(name, ())))
    return found


def _claims_context(record: dict) -> dict:
    """The matrix of the claims and a plot for each of them."""
    context = matrix_context(record)
    plots = {claim["number"]: plot_uri(claim, context["columns"]) for claim in record["claims"]}
    return context | {"plots": plots}
