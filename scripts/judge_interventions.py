"""Compare predicted with measured costs of freezing, and judge the claims: claims.json."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from common.files import replace_when_complete, run_script
from report.claims.record import as_json
from studies.interventions.record import make_record


def main(arguments: list[str] | None = None) -> None:
    """Write the record of the interventions that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--families",
        type=json.loads,
        required=True,
        help="trainings with interventions as JSON; see studies.interventions.points.read_family",
    )
    parser.add_argument("--seed", type=int, default=1, help="draws the resamplings (default: 1)")
    parser.add_argument("--output", type=Path, required=True, help="JSON")
    options = parser.parse_args(arguments)
    record = make_record(options.families, options.seed)
    with replace_when_complete(options.output) as temporary:
        temporary.write_text(as_json(record), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    run_script(main)
