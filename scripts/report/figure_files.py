"""The command line of the figure scripts, and figures as byte-identical PDF, PNG and SVG."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import xarray as xr
from matplotlib.figure import Figure

from losschange.analysis.profiles import ProfileError
from losschange.analysis.summaries import SummaryError, open_summary
from losschange.plots.style import freeze_layout, house_style
from running.files import UserError, replace_when_complete

# Dates and versions would make two runs of the same figure differ.
METADATA = {
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
}


def figure_parser(description: str) -> argparse.ArgumentParser:
    """The arguments that every figure script takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--summaries", type=Path, nargs="*", default=[], help="summaries/<model>.nc, in order"
    )
    parser.add_argument(
        "--output-stem", type=Path, required=True, help="path without .pdf, .png and .svg"
    )
    parser.add_argument("--estimator", default="batch", help="estimator to show (default: batch)")
    return parser


def make_figure(
    options: argparse.Namespace, draw: Callable[[Sequence[xr.Dataset], argparse.Namespace], Figure]
) -> None:
    """Read the summaries, draw, and write the three files.

    Parameters
    ----------
    options : Namespace
        From `figure_parser`.
    draw : function
        Takes the summaries in the order given and the options, returns the figure.

    Raises
    ------
    UserError
        If a summary is missing or unreadable, or lacks the estimator.
    """
    try:
        summaries = [open_summary(path) for path in options.summaries]
        with house_style():
            save_figure(draw(summaries, options), options.output_stem)
    except (SummaryError, ProfileError, FileNotFoundError) as error:
        raise UserError(f"cannot draw {options.output_stem.name}: {error}") from error


def save_figure(figure: Figure, stem: Path) -> None:
    """Write stem.pdf, stem.png and stem.svg; the same figure gives the same bytes."""
    freeze_layout(figure)
    for kind, metadata in METADATA.items():
        with replace_when_complete(stem.with_name(f"{stem.name}.{kind}")) as temporary:
            figure.savefig(temporary, format=kind, metadata=metadata)
