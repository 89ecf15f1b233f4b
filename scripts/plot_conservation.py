"""Figure C: does the LCA of all parameters add up to the change of the loss that was measured?

Curves for the models named by --main, the final ratio of every estimator for all of --summaries.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from losschange.analysis.conservation_profiles import conservation_profile
from losschange.plots.conservation import draw_conservation
from losschange.plots.style import draw_message
from report.figure_files import make_figure
from running.files import run_script


def draw(summaries, options):
    """Curves of the main models, ratios of all models in the order given."""
    if not summaries:
        return draw_message("Figure C has nothing to show: this run has no models.")
    profiles = {summary.attrs["model"]: conservation_profile(summary) for summary in summaries}
    main = [profiles[model] for model in options.main if model in profiles]
    return draw_conservation(main, list(profiles.values()))


def build_parser() -> argparse.ArgumentParser:
    """The command line; every estimator is shown, so none can be chosen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--summaries", type=Path, nargs="*", default=[], help="summaries/<model>.nc, in order"
    )
    parser.add_argument("--main", nargs="*", default=[], help="models whose curves are shown")
    parser.add_argument(
        "--output-stem", type=Path, required=True, help="path without .pdf, .png and .svg"
    )
    return parser


def main(arguments: list[str] | None = None) -> None:
    """Draw the figure that the command line describes."""
    make_figure(build_parser().parse_args(arguments), draw)


if __name__ == "__main__":
    run_script(main)
