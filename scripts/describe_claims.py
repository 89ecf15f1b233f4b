"""Write a page per claim: its statement, its criterion, all numbers, and a plot of them."""

from __future__ import annotations

import argparse
from pathlib import Path

from common.files import replace_when_complete, run_script
from report.claims.pages import claim_page
from report.claims.record import read_claims


def main(arguments: list[str] | None = None) -> None:
    """Read --claims, write claim<number>.html of every one into --output-folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--claims", type=Path, required=True, help="claims.json")
    parser.add_argument("--output-folder", type=Path, required=True, help="folder of the pages")
    options = parser.parse_args(arguments)
    record = read_claims(options.claims)
    for claim in record["claims"]:
        path = options.output_folder / f"claim{claim['number']}.html"
        with replace_when_complete(path) as temporary:
            page = claim_page(record, claim)
            temporary.write_text(page, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    run_script(main)
