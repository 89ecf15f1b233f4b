"""Measure the quality of a trained model: losses on unseen text, BLEU and chrF for translation."""

import argparse
import json
import logging
import warnings
from itertools import islice
from pathlib import Path
from typing import Any

from common.files import replace_when_complete, run_script
from objectives import OBJECTIVES
from running.devices import claimed_devices
from running.models import parse_model


def measure(options: argparse.Namespace) -> None:
    """Measure one model and write its quality."""
    # Imported late: this takes seconds, and a wrong command line should not.
    from text.vocabulary import load_vocabulary, normaliser_of
    from training.quality import TrainedModel, translation_scores

    logging.getLogger().setLevel(logging.WARNING)
    settings = json.loads(options.settings)
    model = parse_model(options.model)
    trained = TrainedModel(options.checkpoint, options.tokens, settings["max_tokens"])
    splits = {split: trained.loss(split) for split in options.losses}
    context_free = {split: splits[split].pop("context_free") for split in splits}
    quality: dict[str, Any] = {
        "model": model.name,
        "objective": model.objective,
        "measure": OBJECTIVES[model.objective].quality.measure,
        "splits": splits,
        "context_free": context_free.get("valid"),
    }
    if options.translate:
        vocabulary = load_vocabulary(options.vocabulary)
        normalisation = normaliser_of(options.vocabulary)
        quality["translation"] = {}
        for split, reference in options.translate:
            translations = trained.translate(
                split,
                vocabulary,
                settings["beam"],
                settings["length_penalty"],
                settings["sentences"],
            )
            with open(reference, encoding="utf-8", newline="\n") as lines:
                references = [line.rstrip("\n") for line in islice(lines, len(translations))]
            quality["translation"][split] = translation_scores(
                translations,
                references,
                trained.cfg.common.seed,
                model.target,
                normalisation,
            )
    with replace_when_complete(options.output) as temporary:
        temporary.write_text(json.dumps(quality, indent=1, sort_keys=True) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--tokens", type=Path, required=True, help="folder of token ids")
    parser.add_argument("--vocabulary", type=Path, required=True, help="SentencePiece model")
    parser.add_argument("--losses", nargs="*", default=["valid", "test"], help="splits")
    parser.add_argument(
        "--translate",
        nargs=2,
        action="append",
        default=[],
        metavar=("SPLIT", "REFERENCE"),
        help="split to translate and its reference text; may be repeated",
    )
    parser.add_argument("--settings", required=True, help="beam, length penalty ... as JSON")
    parser.add_argument("--gpus", type=int, default=0, help="GPUs to claim")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with claimed_devices(options.gpus):
        measure(options)


if __name__ == "__main__":
    run_script(main)
