"""What every estimator costs: the tokens that gradients are taken of, beyond the training's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from objectives import OBJECTIVES
from running.costs import evaluations_per_update

if TYPE_CHECKING:
    from running.configuration import Configuration
    from running.models import Model


def relative_costs(configuration: Configuration, model: Model) -> dict[str, float]:
    """Tokens per update of each estimator by itself, in units of the training batch.

    Those of the trapezoid rule and of Simpson's both include the ends of their intervals, which
    they share. Estimates, as in `running.costs`: a sentence has a usual length, and intervals are
    split a usual number of times.
    """
    training, recording = configuration.training_of(model), configuration.recording_of(model)
    objective = OBJECTIVES[model.objective]
    batch = training.update_frequency * training.max_tokens * objective.filled
    sentence = objective.sample_tokens(training.model_dump())
    found = {}
    for name, stride in recording.strides.items():
        alone = recording.model_copy(update={"estimators": {name: stride}})
        passes = evaluations_per_update(alone, sentence) if name != "batch" else []
        found[name] = sum(tokens * number for tokens, number in passes) / batch
    return found
