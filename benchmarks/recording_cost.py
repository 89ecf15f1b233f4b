"""What recording costs: the same training with and without it, side by side in one process.

Both trainings make the same updates in turns of a few, so that whatever else the machine does
falls on both. Prints the ratio of the times per objective; the goal is at most 1.05 on a CPU.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from itertools import islice
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "scripts"
sys.path.insert(0, str(SCRIPTS))

GOAL = 1.05
MODELS = {"clm": "clm-en", "mlm": "mlm-en", "mt": "mt-en-de"}


def make_tokens(folder: Path, languages: list[str], vocabulary: int) -> Path:
    """Token ids of artificial text, made with the workflow's own scripts."""
    texts = [str(folder / f"text.{language}") for language in ("en", "de")]
    data = folder / "-".join(languages)

    def run(script: str, *arguments: str) -> None:
        subprocess.run([sys.executable, str(SCRIPTS / script), *arguments], check=True)

    run(
        "generate_source.py",
        *("--languages", "en", "de", "--pairs", "4000", "--seed", "1", "--output", *texts),
    )
    model = data / "sentencepiece.model"
    run(
        "learn_vocabulary.py",
        *("--text", *texts, "--size", str(vocabulary), "--seed", "1"),
        *("--model", str(model), "--vocabulary", str(data / "sentencepiece.vocab")),
    )
    splits = [word for name in ("train", "valid") for word in ("--split", name, texts[0][:-3])]
    run(
        "binarise_text.py",
        *("--model", str(model), "--languages", *languages, *splits, "--output", str(data)),
    )
    return data


def training_settings(preset: str) -> dict:
    """Hyper-parameters of a preset, as the workflow merges them."""
    import yaml
    from snakemake.utils import update_config

    from reproduction.configuration_check import load_configuration

    values = yaml.safe_load((ROOT / "config.yaml").read_text())
    update_config(values, yaml.safe_load((ROOT / "presets" / preset).read_text()))
    return load_configuration(values)


def measure(objective: str, preset: str, data: Path, folder: Path, turns: int, length: int):
    """Seconds per update without and with recording, one pair per turn."""
    from losschange_fairseq.training import build_trainer
    from reproduction.fairseq_arguments import fairseq_arguments
    from reproduction.models import parse_model

    model = parse_model(MODELS[objective])
    settings = training_settings(preset).training_of(model).model_dump()
    stock = [*fairseq_arguments(model, settings, data, 1, "cpu"), "--save-dir", str(folder)]
    trainers = []
    for extra in ([], ["--lca-parts", str(folder / f"{objective}-parts")]):
        _, _, trainer = build_trainer([*stock, *extra])
        batches = trainer.get_train_iterator(1).next_epoch_itr(shuffle=True)
        trainers.append((trainer, list(islice(batches, length))))
    pairs = []
    for turn in range(-1, turns):
        seconds = [0.0, 0.0]
        for which in (0, 1) if turn % 2 else (1, 0):
            trainer, batches = trainers[which]
            start = time.perf_counter()
            for batch in batches:
                trainer.train_step([batch])
            seconds[which] = (time.perf_counter() - start) / len(batches)
        if turn >= 0:  # the first turn warms up
            pairs.append(tuple(seconds))
    return pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="demo.yaml", help="whose models to train")
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--length", type=int, default=10, help="updates per turn")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(1)
    worst = 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        vocabulary = training_settings(options.preset).vocabulary.size
        data = dict.fromkeys((("en",), ("en", "de")))
        for languages in data:
            data[languages] = make_tokens(folder, list(languages), vocabulary)
        for objective in MODELS:
            tokens = data[("en", "de") if objective == "mt" else ("en",)]
            pairs = measure(
                objective, options.preset, tokens, folder, options.turns, options.length
            )
            ratios = sorted(on / off for off, on in pairs)
            middle = statistics.median(ratios)
            worst = max(worst, middle)
            print(
                f"{objective}: {min(off for off, _ in pairs) * 1e3:.1f} ms per update without, "
                f"{min(on for _, on in pairs) * 1e3:.1f} ms with; ratio median {middle:.3f} "
                f"(lowest {ratios[0]:.3f}, highest {ratios[-1]:.3f})",
                flush=True,
            )
    print(f"worst median ratio {worst:.3f}, goal {GOAL}: {'met' if worst <= GOAL else 'MISSED'}")
    sys.exit(worst > GOAL)


if __name__ == "__main__":
    main()
