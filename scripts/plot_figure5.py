"""Figure 5: Figure 1's panels with all models overlaid.

Colour and marker tell the objective, the shade the model; the Estonian MLM is dashed.
"""

from __future__ import annotations

from losschange.analysis.profiles import join_replicates, layer_profile
from losschange.plots.overlay_lines import draw_overlay_lines
from losschange.plots.style import draw_message
from report.figure_files import figure_parser, make_figure
from running.files import run_script


def draw(summaries, options):
    """One line per model."""
    if not summaries:
        return draw_message("Figure 5 has nothing to show: this run has no models.")
    profiles = [layer_profile(summary, options.estimator) for summary in summaries]
    return draw_overlay_lines(join_replicates(profiles))


def main(arguments: list[str] | None = None) -> None:
    """Draw the figure that the command line describes."""
    make_figure(figure_parser(__doc__).parse_args(arguments), draw)


if __name__ == "__main__":
    run_script(main)
