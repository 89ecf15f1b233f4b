"""Turn the splits of a corpus into token ids that fairseq reads."""

import argparse
import json
from pathlib import Path

from common.files import run_script
from text.binarisation import binarise
from text.steps import PIECES, check_steps, steps_given


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="SentencePiece model")
    parser.add_argument("--languages", nargs="+", required=True)
    parser.add_argument(
        "--split",
        nargs=2,
        action="append",
        required=True,
        metavar=("NAME", "TEXT"),
        help="name of a split and its text without the language suffix; may be repeated",
    )
    parser.add_argument("--output", type=Path, required=True, help="folder of the token ids")
    parser.add_argument(
        "--cleaning", type=json.loads, default=[], help="JSON list of steps; uses those on pieces"
    )
    parser.add_argument("--threads", type=int, default=1, help="threads; the result is the same")
    options = parser.parse_args()
    splits = {name: Path(text) for name, text in options.split}
    limits = steps_given(check_steps(options.cleaning), PIECES)
    binarise(options.model, options.languages, splits, options.output, options.threads, limits)


if __name__ == "__main__":
    run_script(main)
