"""The command `losschange explore`: a page to explore cubes in."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from .page import explore


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `losschange explore` to a parser."""
    parser.add_argument(
        "cubes",
        nargs="+",
        type=Path,
        metavar="CUBE",
        help="cubes to look at (.nc), each with a name of its own",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("explorer"),
        metavar="FOLDER",
        help="where the page and its scripts go (default: explorer)",
    )
    parser.add_argument(
        "--title",
        default="Loss Change Allocation",
        help="title of the page (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> Iterator[str]:
    """Write the page, and tell where it is.

    Raises
    ------
    ExplorerError, CubeError
        See `explore`.
    """
    yield f"open {explore(options.cubes, options.output, options.title)} in a browser"
