"""The command `losschange schema`: which cells a model has."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from losschange.checkpoints.models import make_model
from losschange.errors import CheckpointError
from losschange.recording.partition import partition_parameters

from .detection import schema_for
from .table import layout_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `losschange schema` to a parser."""
    parser.add_argument(
        "model",
        type=Path,
        metavar="FOLDER_OR_FILE",
        help="a folder of Hugging Face with a config.json, or of PEFT with an adapter_config.json; "
        "or such a file itself; weights are not needed",
    )
    parser.add_argument(
        "--rules",
        action="store_true",
        help="also list the rules: which names of parameters belong to which cells",
    )


def run(options: argparse.Namespace) -> Iterator[str]:
    """The lines of the table.

    Raises
    ------
    CheckpointError
        If no model can be made from the configuration.
    PartitionError
        If a parameter of it is in no cell.
    """
    if not options.model.exists():
        raise CheckpointError(
            f"there is no file or folder {options.model}; give a folder with a config.json, or the "
            "file itself"
        )
    model = make_model(options.model, weights=False)
    schema = schema_for(model)
    named = [(name, p.shape) for name, p in model.named_parameters() if p.requires_grad]
    yield from layout_table(partition_parameters(named, schema).layout)
    if options.rules:
        yield ""
        yield str(schema)
