"""Read the sources of one corpus, clean them, and write its splits and their counts."""

import argparse
import json
import sys
from pathlib import Path

from common.files import UserError, run_script
from text.preparation import prepare_corpus


def parse_settings(text: str) -> dict:
    """Read settings given as JSON or as the path of a JSON file."""
    if not text.lstrip().startswith("{"):
        path = Path(text)
        if not path.is_file():
            raise UserError(f"--settings: {path} is neither JSON nor a file.")
        text = path.read_text(encoding="utf-8")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"--settings is not valid JSON: {error}") from error


def main() -> None:
    """Prepare the corpus that the command line describes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", required=True, help="name of the corpus")
    parser.add_argument(
        "--settings",
        required=True,
        help="JSON, or the path of a JSON file: languages, sources, splits, seed, steps",
    )
    parser.add_argument("--output-folder", required=True, type=Path)
    parser.add_argument("--processes", type=int, default=1, help="cleaning processes (default 1)")
    parser.add_argument(
        "--invalid-utf8-share",
        type=float,
        default=0.01,
        help="a source with a larger share of pairs that are not UTF-8 is refused (default 0.01)",
    )
    arguments = parser.parse_args()
    settings = parse_settings(arguments.settings)
    counts = prepare_corpus(
        arguments.corpus,
        settings,
        arguments.output_folder,
        arguments.processes,
        arguments.invalid_utf8_share,
    )
    for remark in counts["remarks"]:
        print(f"note: {remark}", file=sys.stderr)
    splits = ", ".join(f"{number} {split}" for split, number in counts["splits"].items())
    print(f"{arguments.corpus}: {sum(counts['read'].values())} pairs read, {splits}")


if __name__ == "__main__":
    run_script(main)
