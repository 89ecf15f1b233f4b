"""The study's section of config.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from running.configuration_fields import Count, Positive, Rate, Section

KEY = "attention_heads"


class Settings(Section):
    """What is measured on how much text, and how heads are pruned; see config.yaml."""

    sentences: Positive = 2500
    max_tokens: Annotated[int, Field(ge=8)] = 4096
    treebank_sentences: Positive = 1000
    frequent: Positive = 500
    groups: Annotated[int, Field(ge=2)] = 20
    snapshots: Positive = 10
    ablation_snapshots: Literal["all", "ends"] = "all"
    copies: Positive = 1
    prices: Annotated[int, Field(ge=2)] = 5
    pruning_updates: Positive = 10000
    pruning_tokens: Annotated[int, Field(ge=8)] = 4096
    gate_learning_rate: Rate = 0.1
    model_learning_rate_share: Annotated[float, Field(ge=0)] = 0.25
    translated_sentences: Count = 0
    permutations: Annotated[int, Field(ge=100)] = 10000
    from_scratch: bool = False


def mistakes(configuration: Any) -> Iterator[str]:
    """Mistakes that the class alone cannot notice."""
    settings = configuration.attention_heads
    if settings.frequent >= configuration.vocabulary.size:
        yield (
            f"{KEY}.frequent: found {settings.frequent}, but the vocabulary has "
            f"{configuration.vocabulary.size} symbols, so no token would be rare"
        )
    for model in configuration.trained_models():
        corpus = configuration.corpora.get(model.corpus)
        # Another check tells of a corpus that is missing; "every 23" is no number of sentences.
        held = corpus.valid if corpus and isinstance(corpus.valid, int) else 0
        if model.name in configuration.main_models.values() and 0 < held < settings.groups:
            yield (
                f"{KEY}.groups: found {settings.groups}, but the validation text of {model.name} "
                f"has {held} sentences"
            )
