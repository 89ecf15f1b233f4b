"""Write the table of the words that several models read in the same sentences."""

from __future__ import annotations

import argparse
from pathlib import Path

from attention_heads.errors import TreebankError
from common.files import UserError, replace_when_complete, run_script
from representations.errors import RepresentationError
from studies.representations.measuring.reading import read_words


def main(arguments: list[str] | None = None) -> None:
    """Read the text that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", type=Path, required=True, help="a sentence per line")
    parser.add_argument(
        "--vocabulary",
        nargs=2,
        action="append",
        required=True,
        metavar=("NAME", "FILE"),
        help="a SentencePiece model and its name; may be repeated",
    )
    parser.add_argument("--counted-text", type=Path, required=True, help="training text")
    parser.add_argument("--counted-sentences", type=int, required=True)
    parser.add_argument("--words", type=int, required=True, help="approximate number of words")
    parser.add_argument("--limit", type=int, required=True, help="largest number of pieces")
    parser.add_argument(
        "--treebanks", type=Path, nargs="*", default=[], help="CoNLL-U files of the text"
    )
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    vocabularies = {name: Path(path) for name, path in options.vocabulary}
    try:
        words = read_words(
            options.text,
            vocabularies,
            options.counted_text,
            options.counted_sentences,
            options.words,
            options.limit,
            options.treebanks,
        )
    except (RepresentationError, TreebankError) as error:
        raise UserError(f"{options.text}: {error}") from error
    with replace_when_complete(options.output) as temporary:
        words.to_netcdf(temporary, engine="netcdf4")


if __name__ == "__main__":
    run_script(main)
