"""Write the states of words in trained models, and results that need further passes of the models:
the influence of hidden words on the others, and the information at masked words."""

from __future__ import annotations

import argparse
import json
import logging
import warnings
from pathlib import Path

from common.files import UserError, replace_when_complete, run_script
from running.devices import claimed_devices


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--models",
        type=json.loads,
        required=True,
        help="list of {checkpoint, tokens, vocabulary, name, states, hidden} as JSON; name is the "
        "vocabulary's in the table, hidden an output or null",
    )
    parser.add_argument("--words", type=Path, required=True, help="the table of words")
    parser.add_argument("--settings", type=json.loads, required=True, help="as JSON")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--gpus", type=int, default=0, help="GPUs to claim")
    return parser


def extract(options: argparse.Namespace) -> None:
    """All models, one after the other."""
    # Imported late: this takes seconds, and a wrong command line should not.
    import xarray as xr

    from representations.errors import RepresentationError
    from studies.representations.measuring.hidden_words import describe_hidden_words
    from studies.representations.measuring.word_states import write_states
    from training.trained_model import TrainedModelHandle

    logging.getLogger().setLevel(logging.WARNING)
    words = xr.load_dataset(options.words)
    for model in options.models:
        handle = TrainedModelHandle(Path(model["checkpoint"]), Path(model["tokens"]))
        text = (handle, Path(model["vocabulary"]), words, model["name"])
        try:
            write_states(*text, Path(model["states"]), options.settings["max_tokens"])
            if model["hidden"]:
                found = describe_hidden_words(*text, options.settings, options.seed)
                with replace_when_complete(model["hidden"]) as temporary:
                    found.to_netcdf(temporary, engine="netcdf4")
        except RepresentationError as error:
            raise UserError(f"{model['checkpoint']}: {error}") from error


def main(arguments: list[str] | None = None) -> None:
    """Claim the devices and extract."""
    options = build_parser().parse_args(arguments)
    warnings.simplefilter("ignore")
    with claimed_devices(options.gpus):
        extract(options)


if __name__ == "__main__":
    run_script(main)
