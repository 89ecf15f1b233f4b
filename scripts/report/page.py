"""Combine all parts of the report into one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2
from markupsafe import Markup

from running.study import Study

from . import conservation, overview, provenance, quality
from .illustrations import Figure, TableFile, marked, read_caption, read_figure, read_table
from .inputs import Run
from .sections import Link, Section, StudyContext, sections_of_study

FOLDER = Path(__file__).parent
SCRIPTS = FOLDER.parent
# Sections before and after those of the studies.
FIRST = (
    ("run", "This run"),
    ("quality", "Did the models learn?"),
    ("conservation", "Does it add up?"),
)
LAST = (
    ("corpora", "Corpora"),
    ("sources", "Sources"),
    ("tokens", "Tokens"),
    ("seeds", "Seeds"),
    ("configuration", "Configuration"),
    ("versions", "Versions"),
    ("times", "Times"),
)
# The figure on conservation, shown in the section on the run's credibility.
CONSERVATION_FIGURE = "C"


def render_report(
    run: Run,
    captions: Path,
    studies: Sequence[Study],
    figures: Path | None = None,
    tables: Path | None = None,
    claims: Mapping[str, dict] | None = None,
    shown: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """The page as text; the same input gives the same text.

    Parameters
    ----------
    run : Run
        From `inputs.read_run`.
    captions : path
        Folder of workflow.rst.
    studies : sequence of Study
        In the order of the page.
    figures, tables : path, optional
        Folders of the figures (SVG, PNG) and tables (CSV, Markdown).
    claims : mapping of study to dict, optional
        Records of claims, from `report.claims.record.read_claims`.
    shown : mapping of a figure's number to models, optional

    Raises
    ------
    UserError
        If a caption is missing, or a figure or table is damaged.
    """
    drawn = {study.name: _figures(study, figures, run, shown or {}) for study in studies}
    everything = {number: one for found in drawn.values() for number, one in found.items()}
    title, introduction = read_caption(captions / "workflow.rst")
    environment = _environment()
    context = {
        "run": run,
        "name": run.configuration["run"],
        "title": title,
        "introduction": introduction,
        "conservation_figure": everything.get(CONSERVATION_FIGURE),
        **_credibility(run),
        **_origin(run),
    }

    def render(template: str, **values) -> Markup:
        return Markup(environment.get_template(template).render(context | values))

    sections = [_general(render, name, heading) for name, heading in FIRST]
    if CONSERVATION_FIGURE in everything:
        figure = everything[CONSERVATION_FIGURE]
        link = Link(figure.name, figure.title, CONSERVATION_FIGURE)
        sections[-1] = Section(**{**vars(sections[-1]), "links": (link,)})
    for study in studies:
        found = StudyContext(
            study,
            run,
            drawn[study.name],
            _tables(study, tables),
            (claims or {}).get(study.name),
            render,
        )
        sections += sections_of_study(found)
    sections += [_general(render, name, heading) for name, heading in LAST]
    return str(render("report/report.html.j2", sections=sections))


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([SCRIPTS, FOLDER, FOLDER / "claims"]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["marked"] = marked
    return environment


def _general(render, name: str, title: str) -> Section:
    return Section(name, title, render(f"report/sections/{name}.html.j2"))


def _captions(study: Study) -> Path:
    return SCRIPTS / "studies" / study.name / "captions"


def _figures(study: Study, folder: Path | None, run: Run, shown: Mapping) -> dict[str, Figure]:
    return {
        one.number: read_figure(one.number, folder, _captions(study), shown.get(one.number, ()))
        for one in study.figures
    }


def _tables(study: Study, folder: Path | None) -> dict[str, TableFile]:
    return {one.number: read_table(one.number, folder, _captions(study)) for one in study.tables}


def _credibility(run: Run) -> dict:
    """Values of the section on credibility: quality of the models and conservation."""
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
    """Values of the section on the data, seeds, configuration and packages of the run."""
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
