"""Table 1: how often, how late and how much parameters hurt, beside the paper's numbers."""

from __future__ import annotations

import argparse
from pathlib import Path

from losschange.analysis.profiles import ProfileError
from losschange.analysis.summaries import SummaryError, open_summary
from report.table_files import write_table
from running.files import UserError, run_script
from studies.vazquez2022.positive_table import positive_table


def main(arguments: list[str] | None = None) -> None:
    """Read --summaries, write --output-stem with .csv, .md and .tex."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--summaries", type=Path, nargs="+", required=True, help="summaries/<model>.nc, in order"
    )
    parser.add_argument("--output-stem", type=Path, required=True, help="path without suffix")
    parser.add_argument("--estimator", default="batch", help="estimator to show (default: batch)")
    options = parser.parse_args(arguments)
    try:
        summaries = [open_summary(path) for path in options.summaries]
        table = positive_table(summaries, options.estimator)
    except (SummaryError, ProfileError, FileNotFoundError) as error:
        raise UserError(f"cannot make {options.output_stem.name}: {error}") from error
    write_table(table, options.output_stem)


if __name__ == "__main__":
    run_script(main)
