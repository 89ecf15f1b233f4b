"""Draw one figure of a study as PDF, PNG and SVG; the same inputs give the same bytes."""

from __future__ import annotations

from common.files import run_script
from report.figure_files import save_figure
from report.illustration_inputs import illustration_parser, open_inputs, style_of_run


def main(arguments: list[str] | None = None) -> None:
    """Draw the figure that the command line describes."""
    options = illustration_parser(__doc__, "figure").parse_args(arguments)
    with open_inputs(options) as (draw, inputs), style_of_run():
        save_figure(draw(inputs, options.options), options.output_stem)


if __name__ == "__main__":
    run_script(main)
