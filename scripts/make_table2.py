"""Table 2: hyper-parameters of the paper, as configured and as run."""

from __future__ import annotations

import argparse
from pathlib import Path

from report.table_files import read_record, write_table
from running.files import run_script
from studies.vazquez2022.settings_table import settings_table

KEYS = ("model", "objective", "configured", "as_run")


def main(arguments: list[str] | None = None) -> None:
    """Read --settings, write --output-stem with .csv, .md and .tex."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--settings", type=Path, nargs="+", required=True, help="models/<model>/settings.json"
    )
    parser.add_argument("--output-stem", type=Path, required=True, help="path without suffix")
    options = parser.parse_args(arguments)
    records = [read_record(path, KEYS) for path in options.settings]
    write_table(settings_table(records), options.output_stem)


if __name__ == "__main__":
    run_script(main)
