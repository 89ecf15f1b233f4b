"""Training speed of a machine: seconds per micro-batch, from measured throughputs.

throughputs.csv holds the measurements and their sources. The speed of a training is estimated from
the most similar measurement, scaled by the number of floating point operations.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from objectives import OBJECTIVES

from .model_size import ModelSize, model_size

TABLE = Path(__file__).with_name("throughputs.csv")
# Columns of throughputs.csv that are fields of the training.
SHAPE = (
    "layers",
    "attention_heads",
    "embedding_dimension",
    "feed_forward_dimension",
    "tokens_per_sample",
    "max_tokens",
)
# Settings for each value of the column `way`: stock fairseq, the faster ways, or compiled ones.
WAYS = {
    "stock": {"fast_layers": False, "compile": False},
    "fast": {"fast_layers": True, "compile": False},
    "compiled": {"fast_layers": True, "compile": True},
}
# Other settings that a model's size depends on; equal in all measurements.
SAME = {
    "tied_embeddings": True,
    "norm": "stock",
    "embedding_layer": "stock",
    "mask_probability": 0.15,
    "prefix_share": 0.5,
}


@dataclass(frozen=True)
class Measurement:
    """One line of throughputs.csv."""

    hardware: str
    objective: str
    way: str
    training: Mapping[str, Any]
    vocabulary: int
    update_frequency: int
    tokens_per_update: int
    tokens_per_second: float
    source: str

    @property
    def tokens(self) -> float:
        """Target tokens per micro-batch."""
        return self.tokens_per_update / self.update_frequency

    @property
    def seconds(self) -> float:
        """Seconds per micro-batch."""
        return self.tokens / self.tokens_per_second

    @cached_property
    def operations(self) -> float:
        """Floating point operations per target token."""
        return size_of(self.objective, self.training, self.vocabulary).operations


@cache
def measurements() -> list[Measurement]:
    """All lines of throughputs.csv."""
    with open(TABLE, encoding="utf-8", newline="") as file:
        return [
            Measurement(
                row["hardware"],
                row["objective"],
                row["way"],
                {**SAME, **WAYS[row["way"]], **{name: int(row[name]) for name in SHAPE}},
                int(row["vocabulary"]),
                int(row["update_frequency"]),
                int(row["tokens_per_update"]),
                float(row["tokens_per_second"]),
                row["source"],
            )
            for row in csv.DictReader(file)
        ]


def hardware_names() -> list[str]:
    """Names of the machines with measurements."""
    return sorted({measurement.hardware for measurement in measurements()})


def size_of(objective: str, training: Mapping[str, Any], vocabulary: int) -> ModelSize:
    """Size of a model of an objective.

    Parameters
    ----------
    objective : str
        A name of `objectives.OBJECTIVES`.
    training : mapping
        Fields of running.configuration.Training.
    vocabulary : int
    """
    record = OBJECTIVES[objective]
    length = record.sample_tokens(training)
    return model_size(record.architecture(training), training, vocabulary, length)


def way_of(training: Mapping[str, Any]) -> str:
    """Which of WAYS a training's settings are."""
    if not training["fast_layers"]:
        return "stock"
    return "compiled" if training["compile"] else "fast"


def nearest_measurement(
    hardware: str, objective: str, way: str, operations: float, tokens: float
) -> Measurement:
    """The measurement that is nearest in operations per token and in tokens per micro-batch.

    Measurements of the same objective on that machine are preferred, and among them those of the
    same way; else any objective and any way is used.
    """
    here = [m for m in measurements() if m.hardware == hardware]
    known = [m for m in here if m.objective == objective] or here
    known = [m for m in known if m.way == way] or known

    def distance(measured: Measurement) -> float:
        return abs(math.log(measured.operations / operations)) + abs(
            math.log(measured.tokens / tokens)
        )

    return min(known, key=distance)


def seconds_per_batch(
    hardware: str, objective: str, training: Mapping[str, Any], vocabulary: int, tokens: float
) -> float:
    """Estimated seconds of a forward and backward pass and its share of the optimizer's step.

    Parameters
    ----------
    hardware : str
        One of `hardware_names`.
    objective : str
        A name of `objectives.OBJECTIVES`.
    training : mapping
        Fields of running.configuration.Training.
    vocabulary : int
    tokens : float
        Target tokens of the batch.
    """
    operations = size_of(objective, training, vocabulary).operations
    measured = nearest_measurement(hardware, objective, way_of(training), operations, tokens)
    return measured.seconds * (operations * tokens) / (measured.operations * measured.tokens)
