"""Compare the spaces of pairs of models, layer by layer."""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path

import xarray as xr

from common.files import UserError, replace_when_complete, run_script
from representations.errors import RepresentationError
from studies.representations.measuring.comparing import compare_spaces


def main(arguments: list[str] | None = None) -> None:
    """Read the states of both models of each pair, and write a comparison for each pair."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--words", type=Path, required=True, help="the table of words")
    parser.add_argument(
        "--pair",
        nargs=4,
        action="append",
        required=True,
        metavar=("FIRST", "SECOND", "LAYERS", "OUTPUT"),
        help="two files of states; 'all' pairs of layers or those of 'equal' depth; the output",
    )
    parser.add_argument("--settings", type=json.loads, required=True, help="as JSON")
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args(arguments)
    warnings.filterwarnings("ignore", message=".*dimensions are constant")
    words, settings = xr.load_dataset(options.words), options.settings
    for first, second, layers, output in options.pair:
        try:
            found = compare_spaces(
                Path(first),
                Path(second),
                words,
                settings["rsa_words"],
                settings["held_out"],
                settings["measures"]["change_repeats"],
                options.seed,
                layers == "all",
            )
        except RepresentationError as error:
            raise UserError(f"{first} and {second}: {error}") from error
        with replace_when_complete(output) as temporary:
            found.to_netcdf(temporary, engine="netcdf4")


if __name__ == "__main__":
    run_script(main)
