"""The section `representations` of the configuration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, ValidationError

from running.configuration_fields import Count, Positive, Section

if TYPE_CHECKING:
    from running.configuration import RunConfiguration

KEY = "representations"

# PWCCA on half of the sentences of one of five frequency bins needs more words than both views have
# dimensions: 2 halves x 5 bins x 2 views.
WORDS_PER_DIMENSION = 20


class Measures(Section):
    """How much a description of a space looks at; see representations.description.Extent."""

    pairs: Positive = 100_000
    types: Annotated[int, Field(ge=2)] = 100
    samples: Positive = 10_000
    clusters: Annotated[int, Field(ge=2)] = 200
    neighbour_words: Positive = 5_000
    neighbours: Positive = 10
    repeats: Count = 20
    change_repeats: Count = 8


class Settings(Section):
    """Which words the study looks at, and how closely."""

    split: Literal["train", "valid", "test"] = "valid"
    words: Positive = 20_000
    counted_sentences: Positive = 200_000
    max_tokens: Positive = 4_096
    masks: Positive = 7
    rsa_words: Annotated[int, Field(ge=3)] = 1_000
    held_out: Positive = 2_000
    measures: Measures = Measures()
    snapshot_measures: Measures = Measures(pairs=10_000, samples=5_000, clusters=100, repeats=0)


def mistakes(configuration: RunConfiguration) -> Iterator[str]:
    """Settings that the measures cannot work with, each in a line."""
    from .spaces import studied_models, text_corpora

    own: Settings = configuration.representations  # type: ignore[attr-defined]
    for name in text_corpora(configuration):
        if name in configuration.corpora and not getattr(configuration.corpora[name], own.split):
            yield (
                f"{KEY}.split: found {own.split!r}, but corpora.{name}.{own.split} is 0; take a "
                "split that holds text"
            )
    widths = set()
    for model in studied_models(configuration):
        # Overrides that contradict each other are told by the check of the trainings.
        with suppress(ValidationError):
            widths.add(configuration.training_of(model).embedding_dimension)
    least = WORDS_PER_DIMENSION * max(widths, default=0)
    if own.words < least:
        yield (
            f"{KEY}.words: found {own.words}, but states of {max(widths)} dimensions need at least "
            f"{least}, so that half of a frequency bin has more words than two spaces have "
            "dimensions"
        )
    if 2 * own.held_out > own.words:
        yield (
            f"{KEY}.held_out: found {own.held_out}, at most half of the {own.words} words can be "
            "held out from the alignment"
        )
    for name in ("measures", "snapshot_measures"):
        part: Measures = getattr(own, name)
        if part.clusters > part.samples:
            yield (
                f"{KEY}.{name}.clusters: found {part.clusters}, but there are only {part.samples} "
                "samples to divide into clusters"
            )
