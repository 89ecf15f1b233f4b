"""Summarise one LCA cube: totals, moving averages, positive LCA, t90 and conservation.

The cube is read once, as a stream. Figures, tables and claims read only the summary.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from common.files import UserError, replace_when_complete, run_script
from losschange.analysis.summaries import SummaryError, summarise_cube, write_summary
from losschange.cube.layout import CubeError


def main(arguments: list[str] | None = None) -> None:
    """Read --cube, write --output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cube", type=Path, required=True, help="cubes/<model>.nc")
    parser.add_argument("--output", type=Path, required=True, help="summaries/<model>.nc")
    options = parser.parse_args(arguments)
    try:
        summary = summarise_cube(options.cube)
    except (CubeError, SummaryError, FileNotFoundError) as error:
        raise UserError(f"cannot summarise {options.cube}: {error}") from error
    with replace_when_complete(options.output) as temporary:
        write_summary(summary, temporary)


if __name__ == "__main__":
    run_script(main)
