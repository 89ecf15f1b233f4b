"""Compare the spaces of the snapshots of one training, and add the loss change of its layers."""

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
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--snapshots", type=Path, nargs="+", required=True, help="<update>.pt")
    parser.add_argument("--cube", type=Path, required=True)
    parser.add_argument("--tokens", type=Path, required=True, help="folder of token ids")
    parser.add_argument("--vocabulary", type=Path, required=True, help="SentencePiece model")
    parser.add_argument("--name", required=True, help="the vocabulary's name in the table")
    parser.add_argument("--words", type=Path, required=True, help="the table of words")
    parser.add_argument("--settings", type=json.loads, required=True, help="as JSON")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--gpus", type=int, default=0, help="GPUs to claim")
    parser.add_argument("--output", type=Path, required=True)
    return parser


def compare(options: argparse.Namespace) -> None:
    """Write the comparison of all snapshots."""
    # Imported late: this takes seconds, and a wrong command line should not.
    import xarray as xr

    from representations.description import Extent
    from representations.errors import RepresentationError
    from studies.representations.measuring.snapshots import compare_snapshots, loss_change
    from studies.representations.measuring.word_states import text_side, write_states
    from training.loading import load_snapshot
    from training.trained_model import TrainedModelHandle

    logging.getLogger().setLevel(logging.WARNING)
    words = xr.load_dataset(options.words)
    handle = TrainedModelHandle(options.checkpoint, options.tokens)
    files = {int(path.stem): path for path in options.snapshots}
    updates = sorted(files)

    def write(update: int, path: Path) -> None:
        load_snapshot(handle.module, files[update])
        text = (handle, options.vocabulary, words, options.name)
        write_states(*text, path, options.settings["max_tokens"])

    extent = Extent(**options.settings["snapshot_measures"], seed=options.seed)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    try:
        found = compare_snapshots(updates, write, words, extent, options.output.parent)
    except RepresentationError as error:
        raise UserError(f"{options.checkpoint.parent}/snapshots: {error}") from error
    stack = "encoder" if text_side(handle) == "source" else "decoder"
    change = loss_change(options.cube, updates, stack).rename(layer="inner_layer")
    with replace_when_complete(options.output) as temporary:
        found.assign(loss_change=change).to_netcdf(temporary, engine="netcdf4")


def main(arguments: list[str] | None = None) -> None:
    """Claim the devices and compare."""
    options = build_parser().parse_args(arguments)
    warnings.simplefilter("ignore")
    with claimed_devices(options.gpus):
        compare(options)


if __name__ == "__main__":
    run_script(main)
