"""The models that the study trains once more, with three embedding matrices of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from running.variants import Variant

if TYPE_CHECKING:
    from running.configuration import Configuration

NAME = "untied"


def variants(configuration: Configuration) -> list[Variant]:
    """A variant of every model under `zhu2020.untied`."""
    settings = configuration.zhu2020
    training = {"tied_embeddings": "none", **settings.training}
    return [Variant(name, NAME, training, settings.recording) for name in settings.untied]
