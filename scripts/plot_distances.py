"""Figure D: distances between the normalised layer profiles of all models."""

from __future__ import annotations

from losschange.claims.distances import model_distances
from losschange.plots.distances import draw_distances
from losschange.plots.style import draw_message
from report.claims.record import group_by_model
from report.figure_files import figure_parser, make_figure
from running.files import run_script


def draw(summaries, options):
    """A point and a leaf per model; replicates are averaged."""
    grouped = group_by_model(summaries)
    found = model_distances(grouped, options.estimator)
    if found is None:
        return draw_message(
            "Figure D has nothing to show: it needs three models of the same depth."
        )
    objectives = [label["objective"] for label in found.labels]
    return draw_distances(found.models, objectives, found.distances, found.points, found.kept)


def main(arguments: list[str] | None = None) -> None:
    """Draw the figure that the command line describes."""
    make_figure(figure_parser(__doc__).parse_args(arguments), draw)


if __name__ == "__main__":
    run_script(main)
