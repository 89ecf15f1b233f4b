"""The section `recording` of the configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from losschange.cube.estimators import (
    TRAIN,
    VALID,
    EstimatorError,
    check_text_name,
    parse_estimator,
)

from .configuration_fields import Count, Positive, Rate, Section


def _estimator_name(name: str) -> str:
    parse_estimator(name)
    return name


def _text_name(name: str) -> str:
    if name in (TRAIN, VALID):
        raise EstimatorError(f"{name} exists by itself; choose another name")
    check_text_name(name)
    return name


EstimatorName = Annotated[str, AfterValidator(_estimator_name)]
Bound = Annotated[float, Field(ge=0, le=1)]


class CountedTokens(Section):
    """Which target tokens of a text count; one of frequency, side and classes."""

    frequency: tuple[Bound, Bound] | None = None
    side: Literal["source", "target"] | None = None
    classes: str | None = None
    class_name: str | None = None

    @model_validator(mode="after")
    def _one_selection(self) -> CountedTokens:
        given = [name for name in ("frequency", "side", "classes") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(
                f"found {' and '.join(given) or 'nothing'}; give one of frequency, side and classes"
            )
        if self.frequency and self.frequency[0] >= self.frequency[1]:
            raise ValueError(
                "frequency must go from a lower share of the text to a higher one, "
                "such as [0, 0.25] for the rarest quarter"
            )
        if self.class_name and not self.classes:
            raise ValueError("class_name needs classes, a file of tokens and their classes")
        return self


class Text(Section):
    """A text that probes and fresh batches are drawn from."""

    split: Literal["train", "valid", "test", "newstest2018"]
    tokens: CountedTokens | None = None
    # The text is this number of sentences of the split, drawn by seed. With None, probe_tokens
    # and fresh_tokens give the size of each draw.
    sentences: Positive | None = None
    models: Literal["all", "main"] = "all"


class Recording(Section):
    """Estimators and texts that a cube holds in addition to `batch`."""

    # Updates between two records; 0 = off.
    estimators: dict[EstimatorName, Count]
    texts: dict[Annotated[str, AfterValidator(_text_name)], Text] = {}
    probe_tokens: Annotated[int, Field(ge=8)]
    fresh_tokens: Annotated[int, Field(ge=8)]
    details: dict[EstimatorName, list[Literal["positive", "helped", "vocabulary"]]]
    simpson_tolerance: Rate | None
    vocabulary_bins: Positive
    vocabulary_division: Literal["mass", "rank"]

    @property
    def strides(self) -> dict[str, int]:
        """Updates between two records of every active estimator, including `batch`."""
        on = {name: stride for name, stride in self.estimators.items() if stride}
        return {"batch": 1, **on}

    def splits(self) -> dict[str, str]:
        """Every active estimator except `batch`, mapped to the split of its text."""
        texts = {name: parse_estimator(name).text for name in self.strides if name != "batch"}
        return {
            name: self.texts[text].split if text in self.texts else text
            for name, text in texts.items()
        }

    def other_splits(self) -> list[str]:
        """Splits that probes need in addition to those that training reads."""
        return sorted(set(self.splits().values()) - {TRAIN, VALID})

    def without_texts_of_main_models(self) -> Recording:
        """This recording without the texts that only main models record."""
        left_out = [name for name, text in self.texts.items() if text.models == "main"]
        if not left_out:
            return self

        def stays(name: str) -> bool:
            return parse_estimator(name).text not in left_out

        return self.model_copy(
            update={
                "texts": {n: text for n, text in self.texts.items() if n not in left_out},
                "estimators": {n: value for n, value in self.estimators.items() if stays(n)},
                "details": {n: value for n, value in self.details.items() if stays(n)},
            }
        )

    def settings(self) -> dict[str, object]:
        """The section in the form that `train_model` takes."""
        values = self.model_dump(exclude={"texts"})
        if self.texts:
            values["texts"] = {
                name: text.model_dump(exclude={"models"}, exclude_none=True)
                for name, text in self.texts.items()
            }
        return values

    @model_validator(mode="after")
    def _names_that_exist(self) -> Recording:
        if "batch" in self.estimators:
            raise ValueError("estimators: batch is always recorded at every update; leave it out")
        known = [TRAIN, VALID, *self.texts]
        for name in [*self.estimators, *self.details]:
            text = parse_estimator(name).text
            if text not in known:
                raise ValueError(
                    f"estimators: {name} looks at the text {text}, which texts does not have; "
                    f"known: {', '.join(known)}"
                )
        for name in self.strides:
            estimator = parse_estimator(name)
            named = self.texts.get(estimator.text)
            if estimator.rule == "exact" and not (named and named.sentences):
                raise ValueError(
                    f"estimators: {name} passes a whole text; add one with `sentences` to texts, "
                    "such as small: {split: train, sentences: 10000}, and record exact_small"
                )
        off = [n for n, details in self.details.items() if details and n not in self.strides]
        if off:
            raise ValueError(f"details of {', '.join(off)}, which estimators turns off")
        return self
