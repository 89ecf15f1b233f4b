"""Put the measurements of gpu_check.py on a GPU into the documentation.

    python benchmarks/publish_gpu.py DIR

Fills the table of docs/performance.md, the card's lines of scripts/running/throughputs.csv, from
which `snakemake cost` estimates times, and those of agreements.csv in the same folder, with which
trainings on such a card use the faster ways without comparing them first. Writes
docs/results-at-paper-size.md if models were trained. A rehearsal is refused: `--into FOLDER` writes
its pages, and copies of the files, there.
"""

from __future__ import annotations

import datetime
import sys
from pathlib import Path

from arguments import command_line
from gpu.publishing import PublishingError, publish


def main() -> None:
    """Read the command line, write the files."""
    parser = command_line(__doc__)
    parser.add_argument("results", type=Path, help="the folder --out of gpu_check.py")
    parser.add_argument("--into", type=Path, help="another folder than the project's own")
    parser.add_argument(
        "--measured-on", type=datetime.date.fromisoformat, help="date; default: of the results"
    )
    options = parser.parse_args()
    lines = options.results / "results.jsonl"
    if not lines.is_file():
        sys.exit(f"error: {lines} does not exist: give the folder --out of gpu_check.py")
    changed = datetime.date.fromtimestamp(lines.stat().st_mtime)
    try:
        written = publish(options.results, options.into, options.measured_on or changed)
    except PublishingError as error:
        sys.exit(f"error: {error}")
    for path in written:
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
