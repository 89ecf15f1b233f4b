"""Write the explorer's page, which shows the models whose files are in its folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from common.files import UserError, run_script
from losschange.errors import ExplorerError
from losschange.explorer.page import write_page


def main(arguments: list[str] | None = None) -> None:
    """Write the page and Plotly into --folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", required=True, help="names, in the page's order")
    parser.add_argument("--title", required=True)
    parser.add_argument("--folder", type=Path, required=True, help="results/<run>/explorer")
    options = parser.parse_args(arguments)
    try:
        write_page(options.models, options.folder, options.title)
    except ExplorerError as error:
        raise UserError(str(error)) from error


if __name__ == "__main__":
    run_script(main)
