"""The models of a run and the paths of their files; studies select their inputs from these."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from .configuration import Configuration
from .models import Model
from .studies import variants_of_study


class RunFiles:
    """The files of a run, as paths below its results folder.

    A model that was trained with several seeds has files of every training. Methods that take
    names of models return the files of all their trainings, model by model.

    Parameters
    ----------
    configuration : Configuration
    results : str
        The results folder, results/<run>.
    """

    def __init__(self, configuration: Configuration, results: str):
        self.configuration = configuration
        self.results = results
        self.models: dict[str, Model] = {
            model.name: model for model in configuration.trained_models()
        }

    @cached_property
    def _replicates(self) -> dict[str, tuple[Model, int]]:
        """Every training of the run; rules ask for their files hundreds of times."""
        return self.configuration.replicates()

    def main_models(self, objective: str | None = None) -> list[str]:
        """The main models: one per objective, or only that of the given objective."""
        chosen = self.configuration.main_models
        return [
            name for key, name in chosen.items() if name in self.models and objective in (None, key)
        ]

    def stock_models(self) -> list[str]:
        """Models of fairseq's own architecture for their objective."""
        return [name for name, model in self.models.items() if model.architecture == "stock"]

    def other_models(self) -> list[str]:
        """All models that are not main models."""
        return [name for name in self.models if name not in self.main_models()]

    def variants(self, study: str) -> list[str]:
        """Names of the variants that a study trains."""
        return [variant.full_name for variant in variants_of_study(study, self.configuration)]

    def trainings(self, models: Iterable[str]) -> list[str]:
        """Names of all trainings of the given models."""
        return [
            training
            for wanted in models
            for training, (model, _) in self._replicates.items()
            if model.name == wanted
        ]

    def summaries(self, models: Iterable[str]) -> list[str]:
        """Summaries of the cubes of all trainings of the given models."""
        return [f"{self.results}/summaries/{name}.nc" for name in self.trainings(models)]

    def of_models(self, file: str, models: Iterable[str]) -> list[str]:
        """A file, such as "quality.json", of every training of the given models."""
        return [f"{self.results}/models/{name}/{file}" for name in self.trainings(models)]

    def counts(self) -> list[str]:
        """Counts of every corpus that the models are trained or tested on."""
        return [f"{self.results}/corpora/{name}/counts.json" for name in self.corpora]

    @property
    def corpora(self) -> list[str]:
        """Names of the run's corpora, including those held out from other corpora."""
        return self.configuration.used_corpora()
