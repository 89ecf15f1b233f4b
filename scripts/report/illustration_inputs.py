"""The command line of make_figure.py and make_table.py."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from common.files import UserError
from common.study_modules import module_of_study
from losschange.analysis.profiles import ProfileError
from losschange.analysis.summaries import SummaryError, open_summary
from losschange.plots.style import LOOKS as DRAWN_LOOKS
from losschange.plots.style import house_style
from objectives import LOOKS

# The function in a module that makes a figure or a table.
FUNCTIONS = {"figure": "draw", "table": "fill"}


def illustration_parser(description: str | None, kind: str) -> argparse.ArgumentParser:
    """The arguments of make_figure.py and make_table.py.

    Parameters
    ----------
    description : str
    kind : {"figure", "table"}
    """
    parser = argparse.ArgumentParser(description=description)
    parser.set_defaults(kind=kind)
    parser.add_argument("--study", required=True, help="a folder of scripts/studies")
    parser.add_argument("--number", required=True, help=f"such as 3 for {kind}3")
    parser.add_argument(
        "--inputs", type=json.loads, required=True, help='files as JSON: {"summaries": [...]}'
    )
    parser.add_argument(
        "--options", type=json.loads, default={}, help='as JSON: {"estimator": "batch"}'
    )
    parser.add_argument(
        "--output-stem", type=Path, required=True, help="path without the file's ending"
    )
    return parser


@contextmanager
def open_inputs(options: argparse.Namespace) -> Iterator[tuple[Callable, dict[str, list]]]:
    """The function that makes an illustration, and its inputs.

    Yields
    ------
    (function, inputs)
        The function takes inputs and options. Summaries are open, other inputs are paths.

    Raises
    ------
    UserError
        If a summary is missing or unreadable, or lacks the required data.
    """
    kind = options.kind
    module = f"{kind}s.{kind}{options.number}"
    try:
        inputs = {
            name: [open_summary(path) if name == "summaries" else Path(path) for path in paths]
            for name, paths in options.inputs.items()
        }
        yield getattr(module_of_study(options.study, module), FUNCTIONS[kind]), inputs
    except (SummaryError, ProfileError, FileNotFoundError) as error:
        raise UserError(f"cannot make {options.output_stem.name}: {error}") from error


@contextmanager
def style_of_run() -> Iterator[None]:
    """The style of all figures, with the colours and markers of all objectives."""
    DRAWN_LOOKS.update(LOOKS)
    with house_style():
        yield
