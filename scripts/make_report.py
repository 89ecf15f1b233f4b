"""Make the report of a run: one self-contained HTML page with all of its results."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from common.files import replace_when_complete, run_script
from report.claims.record import read_claims
from report.inputs import read_run
from report.page import render_report
from running.studies import load_studies

CAPTIONS = Path(__file__).resolve().parent.parent / "captions"

# Options that take any number of files, and the files.
LISTS = {
    "--qualities": "models/<model>/quality.json",
    "--settings": "models/<model>/settings.json",
    "--counts": "corpora/<corpus>/counts.json",
    "--source-records": "records of the downloads",
    "--provenance": "corpora/<corpus>/provenance.json",
    "--tokens": "tokens/<tokens>/tokens.json",
    "--histories": "models/<model>/training.csv",
    "--summaries": "summaries/<model>.nc",
}


def build_parser() -> argparse.ArgumentParser:
    """The command line; options for results that a run does not have are left out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--configuration", type=Path, required=True, help="the whole configuration as JSON"
    )
    parser.add_argument(
        "--figures-folder", type=Path, help="folder of figureC.svg, figure1.svg ..."
    )
    parser.add_argument("--tables-folder", type=Path, help="folder of table1.csv ... table3.md")
    parser.add_argument("--studies", nargs="+", default=["vazquez2022"], help="names of studies")
    parser.add_argument(
        "--claims", type=json.loads, default={}, help='as JSON: {"vazquez2022": "claims.json"}'
    )
    parser.add_argument(
        "--shown", type=json.loads, default={}, help='models by figure as JSON: {"1": ["clm-en"]}'
    )
    for option, files in LISTS.items():
        parser.add_argument(option, type=Path, nargs="*", default=[], help=files)
    parser.add_argument("--captions", type=Path, default=CAPTIONS, help="folder of workflow.rst")
    parser.add_argument("--output", type=Path, required=True, help="the page (.html)")
    return parser


def main(arguments: list[str] | None = None) -> None:
    """Read what the command line names and write --output."""
    options = build_parser().parse_args(arguments)
    lists = {name: getattr(options, name) for name in (o[2:].replace("-", "_") for o in LISTS)}
    run = read_run(options.configuration, **lists)
    claims = {study: read_claims(Path(path)) for study, path in options.claims.items()}
    page = render_report(
        run,
        options.captions,
        load_studies(options.studies),
        options.figures_folder,
        options.tables_folder,
        claims,
        options.shown,
    )
    with replace_when_complete(options.output) as temporary:
        temporary.write_text(page, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    run_script(main)
