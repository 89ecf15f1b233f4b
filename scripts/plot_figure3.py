"""Figure 3: the contribution of every attention head, layer x head, summed over training.

Key, query and value per objective; each heat map is normalised over all its cells.
"""

from __future__ import annotations

from losschange.analysis.profiles import head_profile
from losschange.plots.head_maps import draw_head_maps
from losschange.plots.style import draw_message
from report.figure_files import figure_parser, make_figure
from running.files import run_script


def draw(summaries, options):
    """One row per summary in the order given."""
    if not summaries:
        return draw_message("Figure 3 has nothing to show: this run has no main model.")
    return draw_head_maps([head_profile(summary, options.estimator) for summary in summaries])


def main(arguments: list[str] | None = None) -> None:
    """Draw the figure that the command line describes."""
    make_figure(figure_parser(__doc__).parse_args(arguments), draw)


if __name__ == "__main__":
    run_script(main)
