"""Fetch the archive of one source, from upstream or a mirror, and record its size and digest."""

import argparse
from pathlib import Path

from reproduction.corpora.download import fetch_source
from reproduction.files import run_script


def main() -> None:
    """Fetch the source that the command line describes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", required=True, help="name of the source")
    parser.add_argument("--url", required=True, help="address upstream")
    parser.add_argument("--path", required=True, help="path below the mirror")
    parser.add_argument("--mirror", help="folder, file:// or http(s):// address used instead")
    parser.add_argument("--sha256", help="expected digest; without it any is accepted")
    parser.add_argument("--archive", required=True, type=Path, help="where the file goes")
    parser.add_argument("--record", required=True, type=Path, help="where its record goes (JSON)")
    parser.add_argument("--retries", type=int, default=5, help="tries in all (default 5)")
    arguments = parser.parse_args()
    fetch_source(
        source=arguments.source,
        url=arguments.url,
        path=arguments.path,
        archive=arguments.archive,
        record=arguments.record,
        sha256=arguments.sha256 or None,
        mirror=arguments.mirror or None,
        tries=arguments.retries,
    )


if __name__ == "__main__":
    run_script(main)
