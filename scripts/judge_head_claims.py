"""Judge the claims about attention heads: claims.json, .csv and .md."""

from __future__ import annotations

import argparse
from pathlib import Path

import xarray as xr

from attention_heads.errors import HeadsError
from common.files import UserError, replace_when_complete, run_script
from report.claims.record import as_json, read_verdicts
from report.claims.tables import claims_csv, claims_markdown
from studies.attention_heads.evidence import read_trainings
from studies.attention_heads.judging import judge_heads

WRITERS = {"json": as_json, "csv": claims_csv, "md": claims_markdown}


def main(arguments: list[str] | None = None) -> None:
    """Judge what the command line names and write the three files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--heads", type=Path, nargs="+", required=True, help="heads/<model>.nc")
    parser.add_argument("--gates", type=Path, nargs="*", default=[], help="gates/<model>.<arm>.nc")
    parser.add_argument("--scores", type=Path, nargs="*", default=[], help="heads/*.scores.nc")
    parser.add_argument("--qualities", type=Path, nargs="*", default=[], help="quality.json")
    parser.add_argument("--main", nargs="+", required=True, help="main models, one per objective")
    parser.add_argument("--seed", type=int, default=1, help="draws the resamplings (default: 1)")
    parser.add_argument("--output-stem", type=Path, required=True, help="path without suffix")
    options = parser.parse_args(arguments)
    try:
        trainings = read_trainings(options.heads, options.gates)
        scores = [xr.load_dataset(path) for path in options.scores]
    except (HeadsError, OSError, ValueError) as error:
        raise UserError(f"cannot judge the claims about heads: {error}") from error
    learned = read_verdicts(options.qualities)
    record = judge_heads(trainings, scores, options.main, learned, options.seed)
    for suffix, write in WRITERS.items():
        path = options.output_stem.with_name(f"{options.output_stem.name}.{suffix}")
        with replace_when_complete(path) as temporary:
            temporary.write_text(write(record), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    run_script(main)
