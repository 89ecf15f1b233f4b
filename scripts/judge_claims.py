"""Judge the claims of a study under every estimator: claims.json, .csv, .md and .html."""

from __future__ import annotations

import argparse
from pathlib import Path

from common.files import UserError, replace_when_complete, run_script
from common.study_modules import module_of_study
from losschange.analysis.summaries import SummaryError, open_summary
from losschange.claims.judging import DRAWS
from report.claims.pages import matrix_page
from report.claims.record import as_json, judge_run, read_verdicts
from report.claims.tables import claims_csv, claims_markdown

WRITERS = {"json": as_json, "csv": claims_csv, "md": claims_markdown, "html": matrix_page}


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--study", default="vazquez2022", help="whose claims (default: the paper's)"
    )
    parser.add_argument("--formats", nargs="+", default=list(WRITERS), choices=WRITERS)
    parser.add_argument(
        "--summaries", type=Path, nargs="+", required=True, help="summaries/<model>.nc, in order"
    )
    parser.add_argument(
        "--qualities", type=Path, nargs="*", default=[], help="models/<model>/quality.json"
    )
    parser.add_argument("--main", nargs="*", default=[], help="main models, one per objective")
    parser.add_argument("--seed", type=int, default=1, help="draws the resamplings (default: 1)")
    parser.add_argument(
        "--draws", type=int, default=DRAWS, help="resamplings (default: %(default)s)"
    )
    parser.add_argument(
        "--claims-alone",
        action="store_true",
        help="leave out how estimators agree and how models group",
    )
    parser.add_argument("--output-stem", type=Path, required=True, help="path without suffix")
    return parser


def main(arguments: list[str] | None = None) -> None:
    """Judge what the command line names and write the four files."""
    options = build_parser().parse_args(arguments)
    try:
        summaries = [open_summary(path) for path in options.summaries]
    except (SummaryError, FileNotFoundError) as error:
        raise UserError(f"cannot judge the claims: {error}") from error
    learned = read_verdicts(options.qualities)
    claims = module_of_study(options.study, "claims").CLAIMS
    record = judge_run(
        summaries,
        options.main,
        learned,
        options.seed,
        claims,
        options.draws,
        options.claims_alone,
    )
    for suffix in options.formats:
        path = options.output_stem.with_name(f"{options.output_stem.name}.{suffix}")
        with replace_when_complete(path) as temporary:
            temporary.write_text(WRITERS[suffix](record), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    run_script(main)
