"""Which models' spaces the study describes, and which of them it compares.

Words are comparable within one language only, so there is one table of words for every language
that the main models read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from running.run_files import RunFiles

if TYPE_CHECKING:
    from running.configuration import RunConfiguration
    from running.models import Model


class Pair(NamedTuple):
    """Two trainings whose spaces are compared.

    Attributes
    ----------
    kind : {"objectives", "languages", "seeds"}
        What differs: the objective; the language that a translation encoder is trained to translate
        into; or only the seed.
    first, second : str
        Names of trainings.
    """

    kind: str
    first: str
    second: str

    @property
    def name(self) -> str:
        """Name of the comparison's file."""
        return f"{self.first}+{self.second}"


def main_models(configuration: RunConfiguration) -> list[Model]:
    """The main models of the run."""
    chosen = configuration.main_models.values()
    return [model for model in configuration.trained_models() if model.name in chosen]


def described_models(configuration: RunConfiguration) -> list[Model]:
    """The main models, and the same in the matched architecture."""
    names = {model.name for model in main_models(configuration)}
    return [
        model
        for model in configuration.trained_models()
        if model.name.removesuffix(".matched") in names
    ]


def sibling_models(configuration: RunConfiguration) -> list[Model]:
    """Translation models that read the same language as a main one and write another."""
    return [
        model
        for model in configuration.trained_models()
        for main in main_models(configuration)
        if main.translates
        and (model.objective, model.source) == (main.objective, main.source)
        and model.target != main.target
        and model.architecture == main.architecture
    ]


def studied_models(configuration: RunConfiguration) -> list[Model]:
    """All models whose states are written."""
    return [*described_models(configuration), *sibling_models(configuration)]


def text_corpora(configuration: RunConfiguration) -> dict[str, str]:
    """Corpus whose sentences are read, and its language: that of the first main model of each."""
    found: dict[str, str] = {}
    for model in main_models(configuration):
        if model.source not in found.values():
            found[model.corpus] = model.source
    return found


def models_by_language(configuration: RunConfiguration) -> dict[str, list[Model]]:
    """The studied models by the language that they read."""
    found: dict[str, list[Model]] = {}
    for model in studied_models(configuration):
        found.setdefault(model.source, []).append(model)
    return found


def piece_limit(configuration: RunConfiguration, language: str) -> int:
    """Most pieces of a sentence that all models of a language read, without two symbols."""
    models = models_by_language(configuration)[language]
    return min(configuration.training_of(model).tokens_per_sample for model in models) - 2


def pairs(files: RunFiles) -> Iterator[Pair]:
    """Every comparison of the study."""
    configuration = files.configuration
    described = described_models(configuration)
    for place, first in enumerate(described):
        trainings = files.trainings([first.name])
        for second in described[place + 1 :]:
            if first.source == second.source and first.architecture == second.architecture:
                for one, two in zip(trainings, files.trainings([second.name]), strict=True):
                    yield Pair("objectives", one, two)
        for other in trainings[1:]:
            yield Pair("seeds", trainings[0], other)
    for main in main_models(configuration):
        for sibling in sibling_models(configuration):
            if (sibling.objective, sibling.source) == (main.objective, main.source):
                yield Pair("languages", main.name, sibling.name)
