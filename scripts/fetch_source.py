"""Fetch the archive of one source, from upstream or a mirror, and record its size and digest."""

import argparse
import json
from pathlib import Path

from common.files import run_script
from text.download import UNPACKED_LIMIT, fetch_source
from text.transfer import Patience


def main() -> None:
    """Fetch the source that the command line describes."""
    usual = Patience()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", required=True, help="name of the source")
    parser.add_argument("--url", required=True, help="address upstream")
    parser.add_argument("--path", required=True, help="path below the mirror")
    parser.add_argument("--mirror", help="folder, file:// or http(s):// address used instead")
    parser.add_argument(
        "--digests",
        type=json.loads,
        default={},
        help="JSON object: path to the expected sha256; other files are not compared",
    )
    parser.add_argument("--archive", required=True, type=Path, help="path of the fetched file")
    parser.add_argument("--record", required=True, type=Path, help="path of its record (JSON)")
    parser.add_argument("--retries", type=int, default=usual.tries, help="failed tries in a row")
    parser.add_argument(
        "--timeout", type=float, default=usual.timeout, help="seconds without a byte"
    )
    parser.add_argument(
        "--unpacked-limit", type=float, default=UNPACKED_LIMIT, help="GB that it may unpack to"
    )
    parser.add_argument("--lock", help="file of the digests of all archives; see corpora_lock")
    arguments = parser.parse_args()
    fetch_source(
        source=arguments.source,
        url=arguments.url,
        path=arguments.path,
        archive=arguments.archive,
        record=arguments.record,
        sha256=arguments.digests.get(arguments.path),
        mirror=arguments.mirror or None,
        patience=Patience(max(arguments.retries, 1), arguments.timeout),
        unpacked_limit=arguments.unpacked_limit,
        lock=Path(arguments.lock) if arguments.lock else None,
    )


if __name__ == "__main__":
    run_script(main)
