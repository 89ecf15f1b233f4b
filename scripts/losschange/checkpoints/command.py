"""The command `losschange from-checkpoints`: LCA of a training that is over."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from losschange.errors import CheckpointError

from . import record
from .record import record_checkpoints
from .texts import OBJECTIVES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `losschange from-checkpoints` to a parser."""
    parser.add_argument(
        "checkpoints",
        type=Path,
        nargs="+",
        metavar="CHECKPOINT",
        help="folders of Hugging Face, .safetensors or .pt files in the order of training, or one "
        "folder that holds them all",
    )
    parser.add_argument(
        "--text",
        action="append",
        required=True,
        metavar="[NAME=]FILE",
        help="a text whose loss is followed: a file of text, or token ids as .npy, .pt or .json; "
        "may be given several times, with a name for each",
    )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="where the cubes go, one for each text",
    )
    parser.add_argument(
        "--updates",
        type=_numbers,
        metavar="N,N,...",
        help="update numbers (default: those in the checkpoints' names)",
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="config.json of the model, where the checkpoints have none",
    )
    parser.add_argument(
        "--tokenizer",
        type=Path,
        metavar="FILE",
        help="folder or tokenizer.json (default: that of the first checkpoint)",
    )
    parser.add_argument(
        "--objective", choices=OBJECTIVES, help="what the model predicts (default: by its class)"
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        default=record.TOLERANCE,
        metavar="NATS",
        help="largest error: an interval between two checkpoints is split until its LCA adds up to "
        "the change of the loss within this many nats per token (default: %(default)g)",
    )
    parser.add_argument(
        "--most-evaluations",
        type=int,
        default=record.MOST_EVALUATIONS,
        metavar="N",
        help="most passes over a text within an interval, however large the error (default: "
        "%(default)d)",
    )
    parser.add_argument(
        "--context",
        type=int,
        default=record.CONTEXT,
        metavar="TOKENS",
        help="length of the sequences that a text is cut into (default: %(default)d)",
    )
    parser.add_argument(
        "--batch-tokens",
        type=int,
        default=record.BATCH_TOKENS,
        metavar="TOKENS",
        help="tokens of a batch (default: %(default)d); more are faster and take more memory",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="seed of the choice of hidden words, for a masked model (default: %(default)d)",
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")


def run(options: argparse.Namespace) -> Iterator[str]:
    """Record, and say where the cubes are; progress goes to standard error.

    Raises
    ------
    CheckpointError
        See `record_checkpoints`.
    """
    single = len(options.checkpoints) == 1
    cubes = record_checkpoints(
        options.checkpoints[0] if single else options.checkpoints,
        _named(options.text),
        options.output,
        updates=options.updates,
        model=options.config,
        tokenizer=options.tokenizer,
        objective=options.objective,
        tolerance=options.tolerance,
        most_evaluations=options.most_evaluations,
        context=options.context,
        batch_tokens=options.batch_tokens,
        seed=options.seed,
        device=options.device,
        progress=lambda line: print(line, file=sys.stderr, flush=True),
    )
    yield from (f"cube of {name}: {path}" for name, path in cubes.items())


def _named(texts: list[str]) -> dict[str, Path]:
    """Texts by name; a text without one is called by its file."""
    found: dict[str, Path] = {}
    for text in texts:
        name, given, file = text.partition("=")
        path = Path(file if given else name)
        name = name if given else path.stem
        if name in found:
            raise CheckpointError(f"two texts are called {name!r}; name them, as in NAME=FILE")
        found[name] = path
    return found


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]
