"""The arguments of the command `losschange`, and its help."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

# Name, module, what it does, and an example.
COMMANDS = (
    (
        "schema",
        ".schemas.command",
        "which cells a model has: its layers, components and heads",
        "losschange schema pythia-70m/step1000",
    ),
    (
        "from-checkpoints",
        ".checkpoints.command",
        "make cubes of a training that is over, from its checkpoints",
        "losschange from-checkpoints pythia-70m --text wiki=wiki.txt --output cubes",
    ),
    (
        "explore",
        ".explorer.command",
        "make a page to explore cubes in, which needs a browser and no network",
        "losschange explore cubes/*.nc --output explorer",
    ),
)


def command_line(
    named: Sequence[str], show: Callable[[argparse.Namespace], Sequence[str]]
) -> argparse.ArgumentParser:
    """The parser; of the commands, only `show` and the one that is named have their arguments.

    Parameters
    ----------
    named : sequence of str
        The first argument, if there is one.
    show : callable
        What the command `show` prints, line by line, from its arguments.
    """
    parser = argparse.ArgumentParser(
        prog="losschange",
        description="Loss Change Allocation (LCA): how much each part of a network lowered the "
        "loss of its training, in nats. A cube is a file that holds the LCA of every update, by "
        "layer, component and head.",
        epilog="losschange COMMAND --help says more, with an example.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    looking = _add_command(
        commands,
        "show",
        "where a training stands, what helps it most, and whether its LCA adds up",
        "losschange show parts --estimator simpson --figure live.png",
    )
    looking.set_defaults(lines=show)
    looking.add_argument(
        "path",
        type=Path,
        metavar="FOLDER_OR_CUBE",
        help="of a training that goes on: the folder of parts given to the recorder, or one above "
        "it; of one that is over: its cube (.nc)",
    )
    looking.add_argument(
        "--estimator",
        metavar="NAME",
        help="whose LCA to list, such as batch or probe (default: batch, if it was recorded)",
    )
    looking.add_argument(
        "--top",
        type=int,
        default=5,
        metavar="N",
        help="how many of the most and of the least helpful cells to list (default: %(default)d)",
    )
    looking.add_argument(
        "--figure",
        type=Path,
        metavar="FILE",
        help="also draw the contribution of every layer, as .png, .pdf or .svg",
    )
    for name, place, about, example in COMMANDS:
        command = _add_command(commands, name, about, example)
        if name in named:
            # Its modules import PyTorch, which takes seconds.
            module = import_module(place, __package__)
            module.add_arguments(command)
            command.set_defaults(lines=module.run)
    return parser


def _add_command(commands: Any, name: str, about: str, example: str) -> argparse.ArgumentParser:
    """The parser of one command, with what it does and an example in its help."""
    about = f"{about[0].upper()}{about[1:]}."
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=about, description=about, epilog=f"Example: {example}"
    )
    return parser
