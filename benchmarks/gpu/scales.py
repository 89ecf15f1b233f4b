"""The two sizes of a check: the paper's models, and tiny ones that rehearse it on a CPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from . import ROOT

MODELS = {"clm": "clm-en", "mlm": "mlm-en", "mt": "mt-en-de"}
SWITCHES = ("fast_layers", "fast_cross_entropy", "fast_optimizer", "fast_masking")
STOCK = {**dict.fromkeys(SWITCHES, False), "compile": False, "micro_batches": "stock"}
FAST = {**dict.fromkeys(SWITCHES, True), "compile": False, "micro_batches": "auto"}
PROBES = ("probe", "simpson", "probe_valid", "simpson_valid")


@dataclass(frozen=True)
class Scale:
    """The size of the models, the text and the measurements of all stages.

    Attributes
    ----------
    training, recording : mapping
        What differs from config.yaml.
    vocabulary, sentences : int
        Of the drawn text.
    data_workers : int
        Processes that read batches ahead.
    turn : int
        Updates of one measured turn; of stock fairseq a fifth.
    turns : int
        Turns of every training, at least; at most three times as many.
    equivalence : mapping
        Settings of the trainings that are compared.
    stride : int
        Updates between two records of the estimators beside batch in the last stage.
    warm_up_share : float
        Share of warm-up in the last stage's updates, as in presets/sample-at-paper-size.yaml: the
        paper's 6 % would be too few updates.
    most_updates : int
        Largest number of updates of a training of the last stage.
    """

    name: str
    training: Mapping[str, object]
    recording: Mapping[str, object]
    vocabulary: int
    sentences: int
    data_workers: int
    turn: int
    turns: int
    equivalence: Mapping[str, object]
    stride: int
    most_updates: int
    warm_up_share: float = 0.2
    device: str = "cuda"

    @property
    def cuda(self) -> bool:
        """Whether the check runs on a GPU."""
        return self.device == "cuda"

    def training_of(self, objective: str, **changes: object) -> dict:
        """All settings of the training of an objective's model."""
        settings = configuration().training_of(self.model(objective)).model_dump()
        return settings | dict(self.training) | changes

    def recording_settings(self, estimators: Mapping[str, int]) -> dict:
        """All settings of a recording of batch and of the given estimators, name to stride."""
        settings = configuration().recording.settings()
        return settings | dict(self.recording) | {"estimators": dict(estimators)}

    @staticmethod
    def model(objective: str):
        """The model that stands for an objective."""
        from running.models import parse_model

        return parse_model(MODELS[objective])


@cache
def configuration():
    """config.yaml, checked."""
    import yaml

    from running.configuration_check import load_configuration

    return load_configuration(yaml.safe_load((ROOT / "config.yaml").read_text()))


# 4,096 tokens an update: in float32 an update of 32,768 takes a quarter of a second.
PAPER = Scale(
    "paper",
    training={},
    recording={},
    vocabulary=32000,
    sentences=100_000,
    data_workers=2,
    turn=10,
    turns=3,
    equivalence={
        "max_tokens": 4096,
        "update_frequency": 1,
        "learning_rate": 1e-4,
        "warmup_updates": 100,
        "total_updates": 300,
    },
    stride=10,
    most_updates=125_000,
)
TINY = Scale(
    "tiny",
    training={
        "layers": 2,
        "attention_heads": 2,
        "embedding_dimension": 16,
        "feed_forward_dimension": 32,
        "learning_rate": 2e-3,
        "warmup_updates": 4,
        "tokens_per_sample": 32,
        "max_tokens": 128,
        "update_frequency": 2,
    },
    recording={"probe_tokens": 128, "fresh_tokens": 128},
    vocabulary=200,
    sentences=600,
    data_workers=0,
    turn=2,
    turns=1,
    equivalence={"max_tokens": 256, "update_frequency": 1, "total_updates": 4},
    stride=2,
    most_updates=10,
)
SCALES = {scale.name: scale for scale in (PAPER, TINY)}
