"""Sections of config.yaml that define no model: execution, evaluation, snapshots and figures."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from .configuration_fields import Count, Positive, Rate, Section
from .speeds import hardware_names


def _hardware(name: str) -> str:
    if name not in ("auto", *hardware_names()):
        raise ValueError(f"allowed are auto, {', '.join(hardware_names())}")
    return name


class Evaluation(Section):
    """How translations are decoded."""

    beam: Positive
    length_penalty: Rate
    sentences: Count
    max_tokens: Positive


class Execution(Section):
    """How trainings are run; no key defines a model, so changing one retrains nothing."""

    device: Literal["auto", "cpu", "cuda"]
    data_workers: Count
    validation_interval: Positive
    checkpoint_interval: Positive
    threads: Positive
    gpus: Count
    gpu_model: str | None
    workers: Positive | None
    memory: Positive | None
    tries: Positive | None
    hardware: Annotated[str, AfterValidator(_hardware)]
    time_limit: Positive | None

    @property
    def processes(self) -> int:
        """Processes that share every update of a training."""
        return self.workers or max(self.gpus, 1)

    @model_validator(mode="after")
    def _a_worker_per_gpu(self) -> Execution:
        if self.gpus and self.workers not in (None, self.gpus):
            raise ValueError(
                f"workers {self.workers} should be null or gpus {self.gpus}: every worker has one "
                "GPU"
            )
        return self


Update = Annotated[int, Field(ge=0)]


class Snapshots(Section):
    """Updates after which the weights are saved: their number, or a list."""

    main: Positive | list[Update]
    others: Positive | list[Update]
    precision: Literal["float16", "float32"]


class Claims(Section):
    """How the intervals of the claims are made."""

    # With 40 resamplings, each tail of a 95 % interval contains one of them.
    resamplings: Annotated[int, Field(ge=40)]


class Figures(Section):
    """Options of figures and tables."""

    estimator: str
