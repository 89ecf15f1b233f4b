"""Learn the SentencePiece vocabulary of one language or of a language pair."""

import argparse
from pathlib import Path

from common.files import run_script
from text.vocabulary import learn_vocabulary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", type=Path, nargs="+", required=True)
    parser.add_argument("--size", type=int, required=True, help="symbols, special ones included")
    parser.add_argument("--sentences", type=int, default=0, help="sentences to learn from, 0 = all")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--normalisation", choices=["nmt_nfkc", "identity"], default="nmt_nfkc")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--vocabulary", type=Path, required=True)
    options = parser.parse_args()
    learn_vocabulary(
        options.text,
        options.size,
        options.sentences,
        options.seed,
        options.threads,
        options.model,
        options.vocabulary,
        options.normalisation,
    )


if __name__ == "__main__":
    run_script(main)
