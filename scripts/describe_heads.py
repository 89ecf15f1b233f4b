"""Describe the attention heads of one model at the snapshots of its training."""

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
    parser.add_argument("--snapshots", type=Path, nargs="+", required=True, help="<update>.pt")
    parser.add_argument("--tokens", type=Path, required=True, help="folder of token ids")
    parser.add_argument("--vocabulary", type=Path, required=True, help="SentencePiece model")
    parser.add_argument(
        "--training-text", type=Path, nargs="+", required=True, help="one file per side"
    )
    parser.add_argument(
        "--valid-text",
        type=Path,
        nargs="*",
        default=[],
        help="validation text of each side, if --relations hold its syntax",
    )
    parser.add_argument(
        "--relations",
        type=json.loads,
        default=[],
        help="CoNLL-U files of each side as JSON: [[source files], [target files]]; [] = none",
    )
    parser.add_argument("--settings", type=json.loads, required=True, help="of the study, as JSON")
    parser.add_argument("--positions", type=int, required=True, help="longer sentences are cut")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--gpus", type=int, default=0, help="GPUs to claim")
    parser.add_argument("--output", type=Path, required=True, help="heads/<model>.nc")
    return parser


def main() -> None:
    """Describe the heads of the training that the command line names."""
    options = build_parser().parse_args()
    # fairseq and hydra warn about their own use of torch, which a user cannot change.
    warnings.simplefilter("ignore")
    with claimed_devices(options.gpus):
        # Imported late: this takes seconds, and a wrong command line should not.
        from attention_heads.errors import HeadsError
        from attention_heads.storage import write_heads
        from training.described_heads import describe_training

        logging.getLogger().setLevel(logging.WARNING)
        try:
            write_heads(options.output, describe_training(options))
        except HeadsError as error:
            raise UserError(f"{options.model}: {error}") from error


if __name__ == "__main__":
    run_script(main)
