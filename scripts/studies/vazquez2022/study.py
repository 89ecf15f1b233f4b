"""Figures and tables of Vázquez et al. 2022, and those that say how far they can be trusted.

Figure 3 is drawn by figures/figure3.py in this folder, and so on for every number.
C: does the LCA add up? D: distances between models. E: what changes with the estimator.
R: which layers served rare and frequent words.
"""

from __future__ import annotations

from ..run_files import RunFiles
from ..study import Illustration, Inputs, Study


def main_models(files: RunFiles) -> Inputs:
    """One model per objective."""
    return {"summaries": files.summaries(files.main_models())}


def masked_model(files: RunFiles) -> Inputs:
    """The masked language model among them."""
    return {"summaries": files.summaries(files.main_models("mlm"))}


def other_models(files: RunFiles) -> Inputs:
    """All models beside them."""
    return {"summaries": files.summaries(files.other_models())}


def stock_models(files: RunFiles) -> Inputs:
    """The paper's models, without those of the matched architecture."""
    return {"summaries": files.summaries(files.stock_models())}


def all_models(files: RunFiles) -> Inputs:
    """Every model."""
    return {"summaries": files.summaries(files.models)}


def all_settings(files: RunFiles) -> Inputs:
    """Settings of every model's first training; they differ from the others' in the seed alone."""
    return {"settings": [f"{files.results}/models/{name}/settings.json" for name in files.models]}


def all_counts(files: RunFiles) -> Inputs:
    """Sentence pairs of every corpus."""
    return {"counts": files.counts()}


def names_of_main(files: RunFiles) -> dict[str, list[str]]:
    """Names of the main models."""
    return {"main": files.main_models()}


STUDY = Study(
    name="vazquez2022",
    title="Vázquez et al. 2022",
    figures=(
        Illustration("C", all_models, names_of_main),
        Illustration("1", main_models, by_estimator=True),
        Illustration("2", main_models, by_estimator=True),
        Illustration("3", main_models, by_estimator=True),
        Illustration("4", masked_model, by_estimator=True),
        Illustration("5", stock_models, by_estimator=True),
        Illustration("6", other_models, by_estimator=True),
        Illustration("E", main_models),
        Illustration("D", stock_models, by_estimator=True),
        Illustration("R", main_models),
    ),
    tables=(
        Illustration("1", main_models, by_estimator=True),
        Illustration("2", all_settings),
        Illustration("3", all_counts),
    ),
    order=10,
    section="section",
)
