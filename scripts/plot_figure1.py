"""Figure 1: the contribution of every layer, summed over training, per component and objective.

Contribution is −ΣLCA: positive where the parameters lowered the loss. A row per objective;
the embedding, the attention matrices and the feed-forward matrices of a row have own y scales.
"""

from __future__ import annotations

from losschange.analysis.profiles import join_replicates, layer_profile
from losschange.plots.layer_bars import draw_layer_bars
from losschange.plots.style import draw_message
from report.figure_files import figure_parser, make_figure
from running.files import run_script


def draw(summaries, options):
    """One row per model in the order given."""
    if not summaries:
        return draw_message("Figure 1 has nothing to show: this run has no main model.")
    profiles = [layer_profile(summary, options.estimator) for summary in summaries]
    return draw_layer_bars(join_replicates(profiles))


def main(arguments: list[str] | None = None) -> None:
    """Draw the figure that the command line describes."""
    make_figure(figure_parser(__doc__).parse_args(arguments), draw)


if __name__ == "__main__":
    run_script(main)
