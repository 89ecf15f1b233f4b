"""The models that the study trains once more, with three embedding matrices of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from running.variants import Variant

if TYPE_CHECKING:
    from running.configuration import Configuration

NAME = "untied"


def variants(configuration: Configuration) -> list[Variant]:
    """A variant of every model under `zhu2020.untied` that the run trains."""
    settings = configuration.zhu2020
    trained = {model.name for model in configuration.trained_models()}
    training = {"tied_embeddings": "none", **settings.training}
    return [
        Variant(name, NAME, training, settings.recording)
        for name in settings.untied
        if name in trained
    ]
