"""Measure the cost of recording: the same training with and without it, in one process.

All trainings of one objective make the same updates in turns of a few, so that other load of the
machine affects all of them. Prints the ratio of the times to those without recording, with its
goal. A probe has a fixed size, so its relative cost depends on the size of an update: measure
probes with the paper's 32,768 tokens per update.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from arguments import add_objectives, command_line
from gpu.scales import MODELS

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "scripts"
sys.path.insert(0, str(SCRIPTS))

PROBE_TOKENS = 4096
# Strides of the estimators in addition to batch, and the largest ratio on a CPU and on a GPU.
VARIANTS = {
    "batch": ({}, {"cpu": 1.03, "cuda": 1.015}),
    "batch + probe": ({"probe": 1}, {"cpu": 1.35, "cuda": 1.20}),
    "batch + probe, stride 10": ({"probe": 10}, {"cpu": 1.08, "cuda": 1.035}),
}


def make_tokens(folder: Path, languages: Sequence[str], vocabulary: int, pairs: int) -> Path:
    """Token ids of artificial text, made with the workflow's own scripts."""
    texts = [str(folder / f"text.{language}") for language in ("en", "de")]
    data = folder / "-".join(languages)

    def run(script: str, *arguments: str) -> None:
        subprocess.run([sys.executable, str(SCRIPTS / script), *arguments], check=True)

    run(
        "generate_source.py",
        *("--languages", "en", "de", "--pairs", str(pairs), "--seed", "1", "--output", *texts),
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


def preset_configuration(preset: str):
    """The configuration of a preset, as the workflow merges it; "paper" is config.yaml alone."""
    import yaml

    from running.configuration_check import load_configuration

    values = yaml.safe_load((ROOT / "config.yaml").read_text())
    if preset != "paper":
        from snakemake.utils import update_config

        update_config(values, yaml.safe_load((ROOT / "presets" / f"{preset}.yaml").read_text()))
    return load_configuration(values)


def measure(
    objective: str,
    configuration,
    data: Path,
    folder: Path,
    variants: Sequence[str],
    device: str,
    options: argparse.Namespace,
) -> dict[str, list[float]]:
    """Seconds per update in every turn, without recording ("") and for each variant."""
    import torch

    from losschange_fairseq.building import build_trainer
    from running.models import parse_model
    from training.fairseq_arguments import fairseq_arguments

    model = parse_model(MODELS[objective])
    settings = configuration.training_of(model).model_dump() | {
        "max_tokens": options.max_tokens,
        "update_frequency": max(1, options.tokens_per_update // options.max_tokens),
    }
    trainers = {}
    for variant in ("", *variants):
        recording = configuration.recording.settings() | {
            "estimators": VARIANTS[variant][0] if variant else {},
            "probe_tokens": PROBE_TOKENS,
            "details": {},
        }
        arguments = fairseq_arguments(model, settings, data, 1, device, recording)
        place = folder / objective / (variant.replace(" ", "-") or "none")
        parts = ["--lca-parts", str(place / "parts")] if variant else []
        _, _, trainer = build_trainer([*arguments, *parts, "--save-dir", str(place)])
        frequency = settings["update_frequency"]
        micro_batches = trainer.get_train_iterator(1).next_epoch_itr(shuffle=True)
        taken = list(islice(micro_batches, frequency * options.length))
        if len(taken) < frequency * options.length:
            sys.exit(f"too little text for {options.length} updates; raise --pairs")
        batches = [taken[i : i + frequency] for i in range(0, len(taken), frequency)]
        trainers[variant] = (trainer, batches)
    seconds: dict[str, list[float]] = {variant: [] for variant in trainers}
    for turn in range(-1, options.turns):
        spent, timed = dict.fromkeys(trainers, 0.0), 0
        for number, first in enumerate(range(0, options.length, options.block)):
            # Reverse the order, so that no training is always the first.
            for variant in list(trainers)[:: 1 if (turn + number) % 2 else -1]:
                trainer, batches = trainers[variant]
                block = batches[first : first + options.block]
                if len(block) > 1:
                    # Not timed, because the caches still hold data of another training.
                    trainer.train_step(block.pop(0))
                start = time.perf_counter()
                for batch in block:
                    trainer.train_step(batch)
                if device == "cuda":
                    torch.cuda.synchronize()
                spent[variant] += time.perf_counter() - start
            timed += len(block)
        if turn >= 0:  # the first turn warms up
            for variant, total in spent.items():
                seconds[variant].append(total / timed)
    return seconds


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--preset", default="demo", help="demo, sample or paper: whose models")
    add_objectives(parser, MODELS)
    parser.add_argument(
        "--variants", nargs="+", default=["batch"], choices=VARIANTS, help="what is recorded"
    )
    parser.add_argument("--max-tokens", type=int, default=512, help="tokens per micro-batch")
    parser.add_argument("--tokens-per-update", type=int, default=512, help="tokens of an update")
    parser.add_argument("--turns", type=int, default=12, help="how often the trainings take turns")
    parser.add_argument("--length", type=int, default=10, help="updates per turn")
    parser.add_argument(
        "--block", type=int, default=10, help="updates before the next training's turn; 1 if long"
    )
    parser.add_argument("--pairs", type=int, default=4000, help="sentence pairs of text")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    configuration, missed = preset_configuration(options.preset), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for objective in options.objectives:
            languages = ["en", "de"] if objective == "mt" else ["en"]
            tokens = make_tokens(folder, languages, configuration.vocabulary.size, options.pairs)
            seconds = measure(
                objective, configuration, tokens, folder, options.variants, device, options
            )
            for variant in options.variants:
                goal = VARIANTS[variant][1][device]
                pairs = zip(seconds[""], seconds[variant], strict=True)
                ratios = sorted(on / off for off, on in pairs)
                middle = statistics.median(ratios)
                missed += [f"{objective} {variant}"] if middle > goal else []
                print(
                    f"{objective}, {variant}: {min(seconds['']) * 1e3:.1f} ms per update without, "
                    f"{min(seconds[variant]) * 1e3:.1f} ms with; ratio median {middle:.3f} "
                    f"(lowest {ratios[0]:.3f}, highest {ratios[-1]:.3f}), goal {goal}",
                    flush=True,
                )
    print(f"missed: {', '.join(missed)}" if missed else "every goal is met")
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
