"""Judge the claims on representation spaces: representations.json and .csv."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from common.files import replace_when_complete, run_script
from report.claims.record import as_json, read_verdicts
from report.claims.tables import claims_csv
from studies.representations.judging import judge, read_spaces

WRITERS = {"json": as_json, "csv": claims_csv}


def main(arguments: list[str] | None = None) -> None:
    """Judge what the command line names and write both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, required=True, help="results/<run>")
    parser.add_argument(
        "--models", type=json.loads, required=True, help='as JSON: {"clm-en": ["clm-en"]}'
    )
    parser.add_argument(
        "--pairs", type=json.loads, required=True, help='as JSON: [["seeds", FIRST, SECOND]]'
    )
    parser.add_argument("--qualities", type=Path, nargs="*", default=[], help="quality.json")
    parser.add_argument(
        "--repeats", type=int, required=True, help="random halves of the text, for intervals"
    )
    parser.add_argument("--output-stem", type=Path, required=True, help="path without suffix")
    options = parser.parse_args(arguments)
    record = judge(
        read_spaces(options.results, options.models, options.pairs),
        options.models,
        read_verdicts(options.qualities),
        options.repeats,
    )
    for suffix, write in WRITERS.items():
        path = options.output_stem.with_name(f"{options.output_stem.name}.{suffix}")
        with replace_when_complete(path) as temporary:
            temporary.write_text(write(record), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    run_script(main)
