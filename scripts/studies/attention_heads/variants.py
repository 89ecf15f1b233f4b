"""Translation trained from scratch with the heads that pruning kept (section 6 of the paper)."""

from __future__ import annotations

from typing import Any

from running.models import parse_model
from running.variants import Variant

NAME = "pruned"


def variants(configuration: Any) -> list[Variant]:
    """The main translation model with closed heads, if `from_scratch` asks for it."""
    if not configuration.attention_heads.from_scratch:
        return []
    # The cube is by the way, so only the paper's estimator and one that adds up are recorded.
    recording = configuration.recording
    kept = {"probe", *recording.details}
    estimators = {name: each for name, each in recording.estimators.items() if name in kept}
    trained = {model.name for model in configuration.trained_models()}
    return [
        Variant(
            parent=name,
            name=NAME,
            recording={"estimators": estimators},
            files={"head_mask": f"results/{configuration.run}/gates/{name}{{seed}}.mask.json"},
        )
        for name in configuration.main_models.values()
        if name in trained and parse_model(name).translates
    ]
