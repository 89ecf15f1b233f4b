"""Tiny texts, token ids and settings of trainings, made on the spot; nothing is downloaded."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml

from running.configuration_check import load_configuration
from text.synthetic import write_synthetic_text
from text.vocabulary import learn_vocabulary

ROOT = Path(__file__).parents[1]
VOCABULARY = 200
# 2 layers of width 16; 10 to 15 updates an epoch, so that 30 updates cross its end.
TINY = {
    "layers": 2,
    "attention_heads": 2,
    "embedding_dimension": 16,
    "feed_forward_dimension": 32,
    "learning_rate": 1e-2,
    "warmup_updates": 4,
    "total_updates": 30,
    "update_frequency": 2,
    "tokens_per_sample": 16,
    "max_tokens": 256,
}
EXECUTION = {
    "device": "cpu",
    "data_workers": 0,
    "validation_interval": 10,
    "checkpoint_interval": 5,
    "threads": 1,
    "gpus": 0,
    "workers": None,
}
# Every estimator, at strides that divide neither each other nor the updates.
RECORDING = {
    "estimators": {"fresh": 4, "probe": 3, "simpson": 3, "probe_valid": 1, "simpson_valid": 7},
    "probe_tokens": 128,
    "fresh_tokens": 128,
    "details": {"batch": ["positive", "helped", "vocabulary"], "probe": ["vocabulary"]},
    "simpson_tolerance": None,
    "vocabulary_bins": 5,
    "vocabulary_division": "mass",
}


def split_changes(changes: dict) -> tuple[dict, dict]:
    """Changes of the tiny training, and the whole of how it is run, from one set of keywords."""
    training = {name: value for name, value in changes.items() if name not in EXECUTION}
    return training, EXECUTION | {n: value for n, value in changes.items() if n in EXECUTION}


@cache
def paper_configuration() -> str:
    """config.yaml as text."""
    return (ROOT / "config.yaml").read_text(encoding="utf-8")


def values(**training) -> dict:
    """What config.yaml holds, with other values under `training`."""
    loaded = yaml.safe_load(paper_configuration())
    loaded["training"].update(training)
    return loaded


def tiny_training(model, **changes) -> dict:
    """Hyper-parameters of a tiny training, checked as those of the user are."""
    loaded = values(**{**TINY, **changes})
    # The paper's strides are longer than some tiny trainings.
    loaded["recording"]["estimators"] = dict.fromkeys(RECORDING["estimators"], 0)
    configuration = load_configuration(loaded)
    return configuration.training_of(model).model_dump()


def write_corpus(folder: Path, pairs: dict[str, int] | None = None) -> dict[str, Path]:
    """Aligned en-de text: name of a split to the path without its language suffix."""
    splits = {}
    for offset, (split, count) in enumerate((pairs or {"train": 600, "valid": 80}).items()):
        splits[split] = folder / split
        outputs = [folder / f"{split}.{language}" for language in ("en", "de")]
        write_synthetic_text(outputs, ["en", "de"], count, seed=3, offset=1000 * offset)
    return splits


def write_tokens(
    folder: Path, pairs: dict[str, int] | None = None, vocabulary: int = VOCABULARY
) -> dict[str, Path]:
    """Token ids of a corpus: objective to the fairseq data folder."""
    # Imported late: it takes seconds, and not every test needs fairseq.
    from text.binarisation import binarise

    splits = write_corpus(folder / "text", pairs)
    for name, languages in (("en", ["en"]), ("en-de", ["en", "de"])):
        learn_vocabulary(
            [Path(f"{splits['train']}.{language}") for language in languages],
            vocabulary,
            sentences=0,
            seed=1,
            threads=1,
            model_path=folder / name / "vocabulary.model",
            vocabulary_path=folder / name / "vocabulary.txt",
        )
        binarise(folder / name / "vocabulary.model", languages, splits, folder / name)
    return token_folders(folder)


def token_folders(folder: Path) -> dict[str, Path]:
    """Objective to the data folder that `write_tokens` made in a folder."""
    one_language = dict.fromkeys(("clm", "mlm", "plm", "dae"), folder / "en")
    return {**one_language, "mt": folder / "en-de"}
