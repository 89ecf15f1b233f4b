"""Prune the heads of one model at several prices; or only score a model (--score-only)."""

from __future__ import annotations

import argparse
import json
import logging
import warnings
from pathlib import Path

from common.files import UserError, run_script
from running.devices import claimed_devices


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--tokens", type=Path, required=True, help="folder of token ids")
    parser.add_argument("--vocabulary", type=Path, required=True, help="SentencePiece model")
    parser.add_argument("--heads", type=Path, help="heads/<model>.nc, for the prices")
    parser.add_argument(
        "--translate",
        nargs=2,
        metavar=("SPLIT", "REFERENCE"),
        help="split to translate and its reference text, for a translation model",
    )
    parser.add_argument("--language", default="en", help="language of the translations")
    parser.add_argument("--evaluation", type=json.loads, required=True, help="beam ... as JSON")
    parser.add_argument("--settings", type=json.loads, required=True, help="of the study, as JSON")
    parser.add_argument("--positions", type=int, required=True, help="longer sentences are cut")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--gpus", type=int, default=0, help="GPUs to claim")
    parser.add_argument("--output-folder", type=Path, help="folder of <model>.<arm>.nc")
    parser.add_argument("--mask", type=Path, help="output: the heads that one arm keeps (JSON)")
    parser.add_argument("--score-only", type=Path, help="write only the model's scores here (.nc)")
    return parser


def main() -> None:
    """Prune or score the model that the command line names."""
    options = build_parser().parse_args()
    # fairseq and hydra warn about their own use of torch, which a user cannot change.
    warnings.simplefilter("ignore")
    with claimed_devices(options.gpus):
        # Imported late: this takes seconds, and a wrong command line should not.
        from attention_heads.errors import HeadsError
        from training.pruned_heads import prune_training, score_training

        logging.getLogger().setLevel(logging.WARNING)
        try:
            if options.score_only:
                score_training(options)
            else:
                prune_training(options)
        except HeadsError as error:
            raise UserError(f"{options.model}: {error}") from error


if __name__ == "__main__":
    run_script(main)
