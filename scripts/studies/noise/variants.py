"""The further trainings of the study: other batch sizes, optimizers, and equal targets.

A variant records what the three parts need and nothing else: `fresh` and Simpson's rule, with
strides that end at the same updates.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from objectives import OBJECTIVES
from running.configuration_training import Training
from running.models import Model
from running.variants import Variant

from .batch_sizes import BatchSizeError, name_of_size, with_batch_size
from .settings import Settings

if TYPE_CHECKING:
    from running.configuration import RunConfiguration

EQUAL_TARGETS = "equal-targets"
MOMENTUM = "sgd-momentum"


def variants(configuration: RunConfiguration) -> list[Variant]:
    """All variants of the study, model by model."""
    settings: Settings = configuration.noise  # type: ignore[attr-defined]
    found: list[Variant] = []
    models = models_trained_again(configuration)
    for place, model in enumerate(models):
        own = configuration.training_of(model).optimizer
        optimizers = settings.optimizers if place == 0 else [own]
        for optimizer in optimizers:
            found += _with_optimizer(configuration, model, optimizer)
    if settings.equal_targets:
        found += _equal_targets(configuration, studied_models(configuration), models)
    return found


def studied_models(configuration: RunConfiguration) -> list[Model]:
    """The models of `noise.models` that this run trains."""
    settings: Settings = configuration.noise  # type: ignore[attr-defined]
    trained = {model.name: model for model in configuration.trained_models()}
    return [trained[name] for name in settings.models if name in trained]


def models_trained_again(configuration: RunConfiguration) -> list[Model]:
    """Those of them that have variants."""
    settings: Settings = configuration.noise  # type: ignore[attr-defined]
    chosen = settings.trained_again
    models = studied_models(configuration)
    return [model for model in models if chosen is None or model.name in chosen]


def every_update_model(configuration: RunConfiguration) -> str | None:
    """Full name of the variant that records all estimators at every update; None without one.

    That with the smallest batch of the first model, which costs least.
    """
    settings: Settings = configuration.noise  # type: ignore[attr-defined]
    smallest, models = min(settings.batch_sizes), models_trained_again(configuration)
    if not settings.every_update or smallest == 1 or not models:
        return None
    return f"{models[0].name}.{name_of_size(smallest)}"


def _with_optimizer(
    configuration: RunConfiguration, model: Model, optimizer: str
) -> Iterator[Variant]:
    """All batch sizes, and a training with momentum."""
    settings: Settings = configuration.noise  # type: ignore[attr-defined]
    training = configuration.training_of(model)
    shorter = _length(training, settings.share_of_updates)
    own = optimizer == training.optimizer
    other = {} if own else _optimizer(optimizer, settings)
    for size in settings.batch_sizes:
        if own and size == 1 and not shorter:
            continue  # the model itself
        name = name_of_size(size) if own else f"{optimizer}-{name_of_size(size)}"
        try:
            batch = with_batch_size(training, size, configuration.execution.processes)
        except BatchSizeError:
            continue  # told as a mistake of the configuration
        yield _variant(configuration, model, name, other | batch | shorter)
    if optimizer == "sgd" and settings.momentum:
        rate = settings.sgd_learning_rate * (1 - settings.momentum)
        changed = {"momentum": settings.momentum, "learning_rate": rate}
        yield _variant(configuration, model, MOMENTUM, other | changed | shorter)


def _equal_targets(
    configuration: RunConfiguration, models: list[Model], again: list[Model]
) -> Iterator[Variant]:
    """Those language models of `again` that have more targets than the fewest of `models`."""
    settings: Settings = configuration.noise  # type: ignore[attr-defined]
    trainings = {m: configuration.training_of(m) for m in models if not m.translates}
    targets = {model: targets_per_update(model, one) for model, one in trainings.items()}
    for model in again:
        if model not in trainings:
            continue
        training = trainings[model]
        size = min(targets.values()) / targets[model]
        try:
            batch = with_batch_size(training, size, configuration.execution.processes)
        except BatchSizeError:
            batch = {"max_tokens": training.tokens_per_sample}  # one sample, the fewest possible
        if batch:
            changed = batch | _length(training, settings.share_of_updates)
            yield _variant(configuration, model, EQUAL_TARGETS, changed)


def targets_per_update(model: Model, training: Training) -> float:
    """Target tokens that the batch of an update holds at most, as far as settings tell."""
    share = OBJECTIVES[model.objective].architecture(training.model_dump()).predicted_share
    return training.max_tokens * training.update_frequency * share


def _optimizer(name: str, settings: Settings) -> dict[str, Any]:
    if name == "sgd":
        rate = settings.sgd_learning_rate
        return {"optimizer": name, "learning_rate": rate, "fast_optimizer": False}
    return {"optimizer": name}


def _length(training: Training, share: float) -> dict[str, int]:
    """Fewer updates, of which as many are warm-up as before in proportion."""
    if share == 1:
        return {}
    return {
        "total_updates": max(1, round(training.total_updates * share)),
        "warmup_updates": round(training.warmup_updates * share),
    }


def _variant(
    configuration: RunConfiguration, model: Model, name: str, training: dict[str, Any]
) -> Variant:
    settings: Settings = configuration.noise  # type: ignore[attr-defined]
    full = f"{model.name}.{name}" == every_update_model(configuration)
    stride = 1 if full else settings.stride
    recording: dict[str, Any] = {
        "estimators": {"fresh": stride, "simpson": stride},
        "texts": {},
        "details": {},
        "simpson_tolerance": None,
    }
    if full:  # two passes over the probe at every update
        own = configuration.recording
        recording["probe_tokens"] = min(own.probe_tokens, own.fresh_tokens)
    return Variant(model.name, name, training, recording)
