"""Figure 4: positive LCA over the training of the masked language model, by layer and component.

Colour is the largest positive LCA in a stretch of training, summed over the tokens of an update
(--reading), because the paper's magnitudes cannot be nats per token; clipped to [0, 1].
"""

from __future__ import annotations

from losschange.analysis.profiles import first_of, positive_profile
from losschange.analysis.streaming import READINGS
from losschange.plots.positive_maps import draw_positive_maps
from losschange.plots.style import draw_message
from report.figure_files import figure_parser, make_figure
from running.files import run_script

UNITS = {
    "per_token": "nats per token",
    "summed": "nats summed over an update's tokens",
    "scaled": "nats per token × loss scale",
    "summed_scaled": "nats summed over tokens × loss scale",
}


def draw(summaries, options):
    """The first masked language model among the summaries."""
    summary = first_of(summaries, "mlm")
    if summary is None:
        return draw_message(
            "Figure 4 shows positive LCA over the training of a masked language model; "
            "this run has no such model."
        )
    profile = positive_profile(summary, options.estimator, options.reading)
    return draw_positive_maps(profile, UNITS[options.reading])


def main(arguments: list[str] | None = None) -> None:
    """Draw the figure that the command line describes."""
    parser = figure_parser(__doc__)
    parser.add_argument(
        "--reading", choices=list(READINGS), default="summed", help="unit of the paper's values"
    )
    make_figure(parser.parse_args(arguments), draw)


if __name__ == "__main__":
    run_script(main)
