"""Table 3: sentences per split, as the paper prints them and as counted."""

from __future__ import annotations

import argparse
from pathlib import Path

from report.table_files import read_record, write_table
from running.files import run_script
from studies.vazquez2022.sentence_table import sentence_table

KEYS = ("corpus", "languages", "splits")


def main(arguments: list[str] | None = None) -> None:
    """Read --counts, write --output-stem with .csv, .md and .tex."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--counts", type=Path, nargs="+", required=True, help="corpora/<corpus>/counts.json"
    )
    parser.add_argument("--output-stem", type=Path, required=True, help="path without suffix")
    options = parser.parse_args(arguments)
    records = [read_record(path, KEYS) for path in options.counts]
    write_table(sentence_table(records), options.output_stem)


if __name__ == "__main__":
    run_script(main)
