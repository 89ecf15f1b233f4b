"""Judge the paper's claims on its estimator, and on its two parts: loss change and noise."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from common.files import UserError, replace_when_complete, run_script
from losschange.analysis.summaries import SummaryError, open_summary
from report.claims.record import read_verdicts
from studies.noise.paper_claims import judge_paper
from studies.vazquez2022.claims import CLAIMS


def main(arguments: list[str] | None = None) -> None:
    """Judge what the command line names, write --output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--summaries", type=Path, nargs="+", required=True, help="of all models")
    parser.add_argument("--qualities", type=Path, nargs="*", default=[], help="quality.json files")
    parser.add_argument("--main", nargs="*", default=[], help="main models, one per objective")
    parser.add_argument("--seed", type=int, default=1, help="draws the resamplings (default: 1)")
    parser.add_argument("--output", type=Path, required=True, help="noise/paper_claims.json")
    options = parser.parse_args(arguments)
    try:
        summaries = [open_summary(path) for path in options.summaries]
    except (SummaryError, FileNotFoundError) as error:
        raise UserError(f"cannot judge the claims: {error}") from error
    learned = read_verdicts(options.qualities)
    found = judge_paper(CLAIMS, summaries, options.main, learned, options.seed)
    text = json.dumps({"claims": found}, indent=1, ensure_ascii=False) + "\n"
    with replace_when_complete(options.output) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    run_script(main)
