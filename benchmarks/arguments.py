"""The command lines of the benchmarks: their help keeps the lines of the docstring."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable


class _Help(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """Text as it stands, and every default beside its option."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)


def command_line(description: str | None) -> argparse.ArgumentParser:
    """A parser with this text, the docstring of a script, and an example if it has none."""
    example = "" if "    python " in (description or "") else f"Example: python {sys.argv[0]}"
    return argparse.ArgumentParser(description=description, epilog=example, formatter_class=_Help)


def add_objectives(parser: argparse.ArgumentParser, known: Iterable[str]) -> None:
    """The option --objectives, all that are known by default."""
    names = list(known)
    parser.add_argument(
        "--objectives", nargs="+", default=names, choices=names, help="which trainings to measure"
    )
