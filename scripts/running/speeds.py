"""How fast a machine trains: seconds per micro-batch, from the throughputs that were measured.

throughputs.csv holds what was measured, with its source. Other sizes and batches are estimated
from it: every layer costs a fixed time, arithmetic a time per operation, and on a CPU the layers'
small operations a time per number.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .model_size import model_size

TABLE = Path(__file__).with_name("throughputs.csv")
# Target tokens that a micro-batch of max_tokens holds; the rest is padding. Translation: measured
# in trainings of the presets demo (0.72) and sample (0.71).
FILLED = {"clm": 1.0, "mlm": 1.0, "mt": 0.72}
# Tokens of a sentence, for the attention of translation models; the estimates hardly depend on it.
SENTENCE_TOKENS = 32


@dataclass(frozen=True)
class Measurement:
    """One line of throughputs.csv."""

    hardware: str
    objective: str
    training: Mapping[str, int]
    vocabulary: int
    update_frequency: int
    tokens_per_update: int
    tokens_per_second: float
    source: str

    @property
    def seconds(self) -> float:
        """Seconds per micro-batch."""
        return self.tokens_per_update / self.tokens_per_second / self.update_frequency


@cache
def measurements() -> list[Measurement]:
    """All lines of throughputs.csv."""
    shape = ("layers", "attention_heads", "embedding_dimension", "feed_forward_dimension")
    found = []
    with open(TABLE, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            training = {name: int(row[name]) for name in (*shape, "tokens_per_sample")}
            # What a size depends on besides; the same in all measurements.
            training |= {"tied_embeddings": True, "norm": "stock", "embedding_layer": "stock"}
            training |= {"mask_probability": 0.15}
            found.append(
                Measurement(
                    row["hardware"],
                    row["objective"],
                    training | {"max_tokens": int(row["max_tokens"])},
                    int(row["vocabulary"]),
                    int(row["update_frequency"]),
                    int(row["tokens_per_update"]),
                    float(row["tokens_per_second"]),
                    row["source"],
                )
            )
    return found


def hardware_names() -> list[str]:
    """Machines of which something was measured."""
    return sorted({measurement.hardware for measurement in measurements()})


def sample_length(objective: str, training: Mapping[str, object]) -> int:
    """Tokens that attend to each other."""
    return SENTENCE_TOKENS if objective == "mt" else training["tokens_per_sample"]


def seconds_per_batch(
    hardware: str, objective: str, training: Mapping[str, object], vocabulary: int, tokens: float
) -> float:
    """Estimated seconds of a forward and backward pass, its share of the optimizer's included.

    Parameters
    ----------
    hardware : str
        One of `hardware_names`.
    objective : {"clm", "mlm", "mt"}
    training : mapping
        Fields of running.configuration.Training.
    vocabulary : int
    tokens : float
        Target tokens of the batch.
    """
    features = _features(objective, training, vocabulary, tokens)
    return sum(a * b for a, b in zip(_coefficients(hardware, objective), features))


def _features(objective, training, vocabulary, tokens) -> tuple[float, float, float]:
    """What a pass does: layers, operations in units of 10^9, and small operations of 10^6."""
    length = sample_length(objective, training)
    size = model_size(objective, training, vocabulary, length)
    numbers = training["embedding_dimension"] + training["attention_heads"] * length
    layers = training["layers"]
    return layers, size.operations * tokens / 1e9, layers * numbers * tokens / 1e6


@cache
def _coefficients(hardware: str, objective: str) -> tuple[float, float, float]:
    """Seconds per unit of each feature, all of them at least 0, by least relative squares."""
    # Imported late: the workflow reads this file for every job.
    import numpy as np
    from scipy.optimize import nnls

    known = [m for m in measurements() if (m.hardware, m.objective) == (hardware, objective)]
    features = np.array(
        [
            _features(objective, m.training, m.vocabulary, m.tokens_per_update / m.update_frequency)
            for m in known
        ]
    )
    seconds = np.array([m.seconds for m in known])
    fixed = np.zeros(len(known))
    used = list(range(min(len(known), 3)))
    if len(known) == 1:
        # One measurement says nothing of the fixed time: that of the causal model is taken.
        used = [1]
        if objective != "clm":
            fixed = _coefficients(hardware, "clm")[0] * features[:, 0]
    left = (seconds - fixed) / seconds
    found, _ = nnls(features[:, used] / seconds[:, None], left)
    coefficients = np.zeros(3)
    coefficients[used] = found
    coefficients[0] += fixed[0] / features[0, 0]
    return tuple(coefficients.tolist())
