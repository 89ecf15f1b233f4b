"""Figures and tables of the five objectives.

O1, O5, OC and OD have the content of the paper study's Figures 1, 5, C and D for every objective
that the run trains. Table O1 tells architecture and objective apart.
"""

from __future__ import annotations

from objectives import OBJECTIVES
from running.run_files import RunFiles
from running.study import Illustration, Inputs, Study

# From one stack to two, and from what is before a token to all of the text.
ORDER = ("clm", "plm", "mlm", "mt", "dae")


def model_per_objective(files: RunFiles) -> list[str]:
    """The main model of every objective; its first model where it has no main model."""
    found = []
    for objective in sorted(OBJECTIVES, key=lambda name: (name not in ORDER, _place(name))):
        models = [name for name, one in files.models.items() if one.objective == objective]
        found += (files.main_models(objective) or models)[:1]
    return found


def one_per_objective(files: RunFiles) -> Inputs:
    """One model per objective."""
    return {"summaries": files.summaries(model_per_objective(files))}


def stock_models(files: RunFiles) -> Inputs:
    """All models without those of the matched architecture."""
    return {"summaries": files.summaries(files.stock_models())}


def all_models(files: RunFiles) -> Inputs:
    """Every model."""
    return {"summaries": files.summaries(files.models)}


def names_of_shown(files: RunFiles) -> dict[str, list[str]]:
    """Names of the models with curves."""
    return {"main": model_per_objective(files)}


def seed_of_run(files: RunFiles) -> dict[str, int]:
    """Seed of permutations and resamplings."""
    return {"seed": files.configuration.seed}


def _place(objective: str) -> int:
    return ORDER.index(objective) if objective in ORDER else 0


STUDY = Study(
    name="objectives",
    title="Objective or architecture: five objectives",
    figures=(
        Illustration("O1", one_per_objective, by_estimator=True),
        Illustration("O5", stock_models, by_estimator=True),
        Illustration("OC", all_models, names_of_shown),
        Illustration("OD", stock_models, by_estimator=True),
    ),
    tables=(Illustration("O1", stock_models, seed_of_run),),
    order=30,
    section="section",
)
