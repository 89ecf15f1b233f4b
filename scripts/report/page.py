"""All parts of the report into one self-contained HTML page."""

from __future__ import annotations

from pathlib import Path

import jinja2

from losschange.claims.agreement import ZHU_KENDALL
from report import conservation, overview, provenance, quality
from report.claims.pages import FOLDER as CLAIM_TEMPLATES
from report.claims.pages import matrix_context, plot_uri
from report.claims.tables import interval_text, value_text
from report.illustrations import (
    CONSERVATION_FIGURE,
    DISTANCE_FIGURE,
    ESTIMATOR_FIGURE,
    marked,
    read_caption,
    read_figure,
    read_figures,
    read_tables,
)
from report.inputs import Run
from report.oddities import ODDITIES

SECTIONS = (
    ("run", "This run"),
    ("quality", "Did the models learn?"),
    ("conservation", "Does it add up?"),
    ("figures", "Figures"),
    ("tables", "Tables"),
    ("claims", "The paper's claims"),
    ("estimators", "The estimator question"),
    ("robustness", "Objective, language, corpus or size?"),
    ("oddities", "Oddities of the paper"),
    ("corpora", "Corpora"),
    ("sources", "Sources"),
    ("tokens", "Tokens"),
    ("seeds", "Seeds"),
    ("configuration", "Configuration"),
    ("versions", "Versions"),
    ("times", "Times"),
)


def render_report(
    run: Run,
    captions: Path,
    figures: Path | None = None,
    tables: Path | None = None,
    claims: dict | None = None,
) -> str:
    """The page; the same input gives the same text.

    Parameters
    ----------
    run : Run
        From `inputs.read_run`.
    captions : path
        Folder of figureC.rst, figure1.rst to table3.rst and workflow.rst.
    figures, tables : path, optional
        Folders of the figures (SVG, PNG) and tables (CSV, Markdown).
    claims : dict, optional
        The record of the claims, from `report.claims.record.read_claims`.

    Raises
    ------
    UserError
        If a caption is missing, or a figure or table is damaged.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([Path(__file__).parent, CLAIM_TEMPLATES]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["marked"] = marked
    title, introduction = read_caption(captions / "workflow.rst")
    context = {
        "run": run,
        "name": run.configuration["run"],
        "sections": SECTIONS,
        "title": title,
        "introduction": introduction,
        "conservation_figure": read_figure(CONSERVATION_FIGURE, figures, captions, run),
        "estimator_figure": read_figure(ESTIMATOR_FIGURE, figures, captions, run),
        "distance_figure": read_figure(DISTANCE_FIGURE, figures, captions, run),
        "figures": read_figures(figures, captions, run),
        "tables": read_tables(tables, captions),
        "claims": _claims_context(claims) if claims else None,
        "zhu_kendall": ZHU_KENDALL,
        "value_text": value_text,
        "interval_text": interval_text,
        "oddities": ODDITIES,
    }
    context |= _credibility(run) | _origin(run)
    return environment.get_template("report.html.j2").render(context)


def _claims_context(record: dict) -> dict:
    """The matrix of the claims and a plot for each of them."""
    context = matrix_context(record)
    plots = {claim["number"]: plot_uri(claim, context["columns"]) for claim in record["claims"]}
    return context | {"plots": plots}


def _credibility(run: Run) -> dict:
    """What tells whether the numbers of this run mean anything."""
    translations, signatures = quality.translation_table(run)
    failed = quality.failed_models(run)
    return {
        "scale": overview.scale_table(run),
        "scale_sentence": overview.scale_sentence(run),
        "progress_sentence": overview.progress_sentence(run),
        "learning_columns": quality.LEARNING_COLUMNS,
        "learning": quality.learning_table(run),
        "failed": failed,
        "margin": quality.MARGIN,
        "held_out": quality.held_out_table(run),
        "measures": quality.measure_meanings(run),
        "translations": translations,
        "signatures": signatures,
        "conservation": conservation.estimator_table(run, failed),
        "conservation_sentences": conservation.conservation_sentences(run, failed),
        "conservation_ratios": conservation.ratio_table(run),
        "conservation_details": conservation.detail_tables(run),
        "conserved": conservation.CONSERVED,
        "estimators": conservation.estimator_meanings(run),
        "has_probes": conservation.has_probes(run),
        "losses_measured": conservation.measure_meanings(run),
    }


def _origin(run: Run) -> dict:
    """What the run was made from."""
    sources = provenance.source_list(run)
    return {
        "corpora": provenance.corpus_table(run),
        "drops": provenance.drop_table(run),
        "origins": provenance.origin_table(run),
        "changes": provenance.change_table(run),
        "generated": provenance.generated_sources(run),
        "sources": sources,
        "mirror_sentence": provenance.mirror_sentence(run),
        "unpinned_sentence": provenance.unpinned_sentence(sources),
        "vocabularies": provenance.token_table(run),
        "makings": provenance.making_table(run),
        "seeds": provenance.seed_table(run),
        "configuration": provenance.configuration_listing(run),
        "versions": provenance.version_table(run),
        "times": provenance.time_table(run),
    }
