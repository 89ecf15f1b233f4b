"""Generate a synthetic source: aligned text in artificial languages, from a seed."""

import argparse
from pathlib import Path

from common.files import run_script
from text.artificial.meaning import DOMAINS
from text.synthetic import LANGUAGES, write_synthetic_text


def main() -> None:
    """Generate the text that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--languages", nargs="+", required=True, choices=LANGUAGES)
    parser.add_argument("--pairs", type=int, required=True, help="number of lines")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--offset", type=int, default=0, help="lines left out before the first")
    parser.add_argument("--domain", choices=list(DOMAINS), default="parliament")
    parser.add_argument(
        "--output", nargs="+", required=True, type=Path, help="one file for each language"
    )
    parser.add_argument(
        "--relations", nargs="+", default=[], type=Path, help="the same sentences as CoNLL-U files"
    )
    arguments = parser.parse_args()
    write_synthetic_text(
        arguments.output,
        arguments.languages,
        arguments.pairs,
        arguments.seed,
        arguments.offset,
        arguments.domain,
        arguments.relations,
    )


if __name__ == "__main__":
    run_script(main)
