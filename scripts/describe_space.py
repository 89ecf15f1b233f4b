"""Describe the space of one model: isotropy, contextuality, information, neighbours and change."""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path

import xarray as xr

from common.files import UserError, replace_when_complete, run_script
from representations.description import Extent, describe_states
from representations.errors import RepresentationError


def main(arguments: list[str] | None = None) -> None:
    """Read states and words, write the description."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--states", type=Path, required=True, help="states/<model>.nc, or a checkpoint's folder"
    )
    parser.add_argument("--words", type=Path, required=True, help="the table of words")
    parser.add_argument("--extent", type=json.loads, required=True, help="as JSON")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    # A dimension can be constant in one layer; this is not an error of the user.
    warnings.filterwarnings("ignore", message=".*dimensions are constant")
    try:
        extent = Extent(**options.extent, seed=options.seed)
        found = describe_states(options.states, xr.load_dataset(options.words), extent=extent)
    except RepresentationError as error:
        raise UserError(f"{options.states}: {error}") from error
    with replace_when_complete(options.output) as temporary:
        found.to_netcdf(temporary, engine="netcdf4")


if __name__ == "__main__":
    run_script(main)
