"""Figure 6: Figure 1's layout for every additional model, a row each.

Additional is every model among --summaries that is not named by --main.
"""

from __future__ import annotations

from losschange.analysis.profiles import join_replicates, layer_profile
from losschange.plots.layer_bars import draw_layer_bars
from losschange.plots.style import draw_message
from report.figure_files import figure_parser, make_figure
from running.files import run_script

PAGE_HEIGHT = 9.5  # inches that a page leaves to the rows


def draw(summaries, options):
    """One row per additional model in the order given."""
    additional = [summary for summary in summaries if summary.attrs["model"] not in options.main]
    if not additional:
        return draw_message(
            "Figure 6 shows the models beside the main ones; this run has no additional models."
        )
    profiles = join_replicates(
        [layer_profile(summary, options.estimator) for summary in additional]
    )
    return draw_layer_bars(profiles, row_height=min(1.25, PAGE_HEIGHT / len(profiles)))


def main(arguments: list[str] | None = None) -> None:
    """Draw the figure that the command line describes."""
    parser = figure_parser(__doc__)
    parser.add_argument("--main", nargs="*", default=[], help="models that Figure 1 shows")
    make_figure(parser.parse_args(arguments), draw)


if __name__ == "__main__":
    run_script(main)
