"""Figures and tables of Vázquez et al. 2022, and further ones on how reliable they are.

Figure 3 is drawn by figures/figure3.py in this folder, and so on for every number.
C: the sum of LCA and the measured loss change. D: distances between models. E: effect of the
estimator. R: contributions of layers on rare and frequent words.
"""

from __future__ import annotations

from collections.abc import Iterable

from running.run_files import RunFiles
from running.study import Illustration, Inputs, Study

from .paper_values import OBJECTIVES


def of_paper(files: RunFiles, names: Iterable[str]) -> list[str]:
    """The models among `names` that are trained for one of the paper's three objectives."""
    return [name for name in names if files.models[name].objective in OBJECTIVES]


def main_models(files: RunFiles) -> Inputs:
    """One model per objective."""
    return {"summaries": files.summaries(of_paper(files, files.main_models()))}


def masked_model(files: RunFiles) -> Inputs:
    """The masked language model among the main models."""
    return {"summaries": files.summaries(files.main_models("mlm"))}


def other_models(files: RunFiles) -> Inputs:
    """All models that are not main models."""
    return {"summaries": files.summaries(of_paper(files, files.other_models()))}


def stock_models(files: RunFiles) -> Inputs:
    """The paper's models, without those of the matched architecture."""
    return {"summaries": files.summaries(of_paper(files, files.stock_models()))}


def all_models(files: RunFiles) -> Inputs:
    """Every model of the paper's objectives."""
    return {"summaries": files.summaries(of_paper(files, files.models))}


def all_settings(files: RunFiles) -> Inputs:
    """Settings of every model's first training; other trainings differ only in the seed."""
    names = of_paper(files, files.models)
    return {"settings": [f"{files.results}/models/{name}/settings.json" for name in names]}


def all_counts(files: RunFiles) -> Inputs:
    """Sentence pairs of every corpus."""
    return {"counts": files.counts()}


def names_of_main(files: RunFiles) -> dict[str, list[str]]:
    """Names of the main models."""
    return {"main": of_paper(files, files.main_models())}


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
