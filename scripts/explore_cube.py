"""Reduce one LCA cube to the JavaScript file that the explorer's page loads."""

from __future__ import annotations

import argparse
from pathlib import Path

from common.files import UserError, run_script
from losschange.cube.layout import CubeError
from losschange.errors import ExplorerError
from losschange.explorer.data import write_model


def main(arguments: list[str] | None = None) -> None:
    """Read --cube, write --output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cube", type=Path, required=True, help="cubes/<model>.nc")
    parser.add_argument("--output", type=Path, required=True, help="explorer/models/<model>.js")
    options = parser.parse_args(arguments)
    try:
        write_model(options.cube, options.cube.stem, options.output)
    except (CubeError, ExplorerError, FileNotFoundError) as error:
        raise UserError(f"cannot explore {options.cube}: {error}") from error


if __name__ == "__main__":
    run_script(main)
