"""The page of one claim: what it says, how it is judged, every number, and a plot of them."""

from __future__ import annotations

import argparse
from pathlib import Path

from reproduction.claims.pages import claim_page
from reproduction.claims.record import read_claims
from reproduction.files import replace_when_complete, run_script


def main(arguments: list[str] | None = None) -> None:
    """Read --claims, write --output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--claims", type=Path, required=True, help="claims.json")
    parser.add_argument("--number", type=int, required=True, help="number of the claim")
    parser.add_argument("--output", type=Path, required=True, help="the page (.html)")
    options = parser.parse_args(arguments)
    page = claim_page(read_claims(options.claims), options.number)
    with replace_when_complete(options.output) as temporary:
        temporary.write_text(page, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    run_script(main)
