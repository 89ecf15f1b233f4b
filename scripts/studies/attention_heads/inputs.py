"""The files of the study, and what its rules need to know of the models."""

from __future__ import annotations

from typing import TYPE_CHECKING

# Figures need only the names below, and the configuration takes a second to import.
if TYPE_CHECKING:
    from running.configuration import Configuration
    from running.models import Model
    from running.run_files import RunFiles

CONTROL = "control"
# The claims are judged once, not once per estimator of LCA: the name of the only column.
COLUMN = "heads"
ENCODER = "encoder-"


def arms(configuration: Configuration, model: Model) -> list[str]:
    """Names of the prunings of a model: a control arm and one per price, of all heads.

    Of a model with an encoder and a decoder the same again, of the encoder's heads alone.
    """
    settings = configuration.attention_heads
    names = [CONTROL, *(f"price{number}" for number in range(1, settings.prices + 1))]
    return names + ([f"{ENCODER}{name}" for name in names] if model.translates else [])


def positions(configuration: Configuration) -> int:
    """Tokens that sentences are cut to: the smallest limit of a main model."""
    return min(
        configuration.training_of(model).tokens_per_sample
        for model in configuration.trained_models()
        if model.name in configuration.main_models.values()
    )


def heads_files(files: RunFiles) -> list[str]:
    """heads/<model>.nc of every training of the main models."""
    return [f"{files.results}/heads/{name}.nc" for name in files.trainings(files.main_models())]


def gates_files(files: RunFiles) -> list[str]:
    """gates/<model>.<arm>.nc of every training of the main models."""
    return [
        f"{files.results}/gates/{training}.{arm}.nc"
        for model in files.main_models()
        for training in files.trainings([model])
        for arm in arms(files.configuration, files.models[model])
    ]


def scores_files(files: RunFiles) -> list[str]:
    """heads/<model>.scores.nc of every training from scratch with closed heads."""
    variants = files.variants("attention_heads")
    return [f"{files.results}/heads/{name}.scores.nc" for name in files.trainings(variants)]


def relations_file(files: RunFiles) -> str:
    """What the LCA of heads has to do with the other measures."""
    return f"{files.results}/heads/relations.json"


def claims_file(files: RunFiles) -> str:
    """The verdicts on the claims."""
    return f"{files.results}/heads/claims.json"
