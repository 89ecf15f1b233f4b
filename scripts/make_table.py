"""Make one table of a study as CSV, Markdown and LaTeX."""

from __future__ import annotations

from common.files import run_script
from report.illustration_inputs import illustration_parser, open_inputs
from report.table_files import write_table


def main(arguments: list[str] | None = None) -> None:
    """Make the table that the command line describes."""
    options = illustration_parser(__doc__, "table").parse_args(arguments)
    with open_inputs(options) as (fill, inputs):
        write_table(fill(inputs, options.options), options.output_stem)


if __name__ == "__main__":
    run_script(main)
