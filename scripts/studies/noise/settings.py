"""The section `noise` of the configuration."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from running.configuration_fields import Positive, Rate, Section, Share
from running.models import parse_model

from .batch_sizes import BatchSizeError, name_of_size, with_batch_size

if TYPE_CHECKING:
    from running.configuration import RunConfiguration

KEY = "noise"


class Settings(Section):
    """Whose bars are told apart, which models are trained again for the laws, and how."""

    models: list[str] = ["clm-en", "mlm-en", "mt-en-de"]
    # Those of them that are trained again with other batches and optimizers; by default all.
    trained_again: list[str] | None = None
    # Of an update, as a multiple of the model's own; the model itself is size 1.
    batch_sizes: Annotated[list[Rate], Field(min_length=1)] = [0.25, 1, 4]
    # The first that is trained again has all of them at every batch size, the others their own.
    optimizers: Annotated[list[Literal["adam", "sgd"]], Field(min_length=1)] = ["adam", "sgd"]
    # A language model whose updates have more target tokens than those of another objective is
    # trained again with as many as that one.
    equal_targets: bool = True
    sgd_learning_rate: Rate = 0.1  # peak
    # A further training with sgd, at 1 - momentum times its learning rate; 0 = none.
    momentum: Share = 0.9
    share_of_updates: Annotated[float, Field(gt=0, le=1)] = 1.0  # of the model's own
    stride: Positive = 10  # updates between records of fresh and simpson in the variants
    every_update: bool = True  # one of them records both at every update
    draws: Annotated[int, Field(ge=50)] = 300  # resamplings of training for intervals


def mistakes(configuration: RunConfiguration) -> Iterator[str]:
    """Names of models that there are not, and batches that cannot be made."""
    settings: Settings = configuration.noise  # type: ignore[attr-defined]
    trained = {model.name: model for model in configuration.trained_models()}
    workers = configuration.execution.processes
    for name in settings.trained_again or []:
        if name not in settings.models:
            yield f"noise.trained_again: found {name!r}, which is not among noise.models"
    for name in settings.models:
        if name not in trained:
            # The command line may restrict a run to other models.
            yield from _no_model(name)
            continue
        if settings.trained_again is not None and name not in settings.trained_again:
            continue
        for size in settings.batch_sizes:
            try:
                with_batch_size(configuration.training_of(trained[name]), size, workers)
            except BatchSizeError as error:
                yield f"noise.batch_sizes: found {size:g} ({name_of_size(size)}); {name}: {error}"


def _no_model(name: str) -> Iterator[str]:
    try:
        parse_model(name)
    except ValueError as error:
        yield f"noise.models: {error}"
