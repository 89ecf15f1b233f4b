"""Judge the claims of Zhu et al. 2020 under every estimator: claims.json, .csv and .md."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from common.files import UserError, replace_when_complete, run_script
from losschange.analysis.summaries import SummaryError, open_summary
from losschange.claims.judging import DRAWS
from report.claims.record import as_json, read_verdicts
from report.claims.tables import claims_csv, claims_markdown
from studies.zhu2020.record import judge_study

WRITERS = {"json": as_json, "csv": claims_csv, "md": claims_markdown}


def main(arguments: list[str] | None = None) -> None:
    """Judge what the command line names and write the three files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--summaries", type=Path, nargs="+", required=True)
    parser.add_argument("--qualities", type=Path, nargs="*", default=[])
    parser.add_argument("--judged", required=True, help="model that the claims are judged on")
    parser.add_argument("--seed", type=int, default=1, help="draws the resamplings (default: 1)")
    parser.add_argument(
        "--draws", type=int, default=DRAWS, help="resamplings (default: %(default)s)"
    )
    parser.add_argument(
        "--costs",
        type=json.loads,
        default={},
        help="cost of each estimator by model as JSON (studies.zhu2020.relative_cost)",
    )
    parser.add_argument("--output-stem", type=Path, required=True, help="path without suffix")
    options = parser.parse_args(arguments)
    try:
        summaries = [open_summary(path) for path in options.summaries]
    except (SummaryError, FileNotFoundError) as error:
        raise UserError(f"cannot judge the claims: {error}") from error
    learned = read_verdicts(options.qualities)
    record = judge_study(
        summaries, options.judged, learned, options.seed, options.costs, options.draws
    )
    for suffix, write in WRITERS.items():
        path = options.output_stem.with_name(f"{options.output_stem.name}.{suffix}")
        with replace_when_complete(path) as temporary:
            temporary.write_text(write(record), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    run_script(main)
