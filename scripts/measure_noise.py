"""Split the LCA of one training into loss change, curvature and noise, with intervals."""

from __future__ import annotations

import argparse
from pathlib import Path

from common.files import UserError, replace_when_complete, run_script
from losschange.analysis.noise_pieces import NoiseError
from losschange.cube.format import open_cube
from losschange.cube.layout import CubeError
from report.table_files import read_record
from studies.noise.measuring import measure, write_record


def main(arguments: list[str] | None = None) -> None:
    """Read --cube and --settings, write --output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cube", type=Path, required=True, help="cubes/<model>.nc")
    parser.add_argument("--settings", type=Path, required=True, help="models/<model>/settings.json")
    parser.add_argument("--stride", type=int, default=10, help="noise.stride (default: 10)")
    parser.add_argument("--draws", type=int, default=300, help="resamplings (default: 300)")
    parser.add_argument("--seed", type=int, default=1, help="draws the resamplings (default: 1)")
    parser.add_argument("--output", type=Path, required=True, help="noise/<model>.nc")
    options = parser.parse_args(arguments)
    as_run = read_record(options.settings, ("model", "objective", "as_run"))["as_run"]
    try:
        with open_cube(options.cube) as cube:
            record = measure(cube, as_run, options.stride, options.draws, options.seed)
    except (CubeError, NoiseError, FileNotFoundError) as error:
        raise UserError(f"cannot measure the noise of {options.cube}: {error}") from error
    with replace_when_complete(options.output) as temporary:
        write_record(record, temporary)


if __name__ == "__main__":
    run_script(main)
