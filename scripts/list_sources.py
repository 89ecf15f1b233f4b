"""List the archives of a run: name, size, licence, citation, address, and whether it is fetched."""

import argparse
import json
from pathlib import Path

from common.files import run_script
from text.corpora_lock import add_to_lock
from text.listing import describe_archives, list_archives


def main() -> None:
    """Print the list that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--sources",
        required=True,
        type=json.loads,
        help="JSON list of objects with name, url, path, licence, citation",
    )
    parser.add_argument("--folder", required=True, type=Path, help="folder of the archives")
    parser.add_argument("--mirror", help="folder, file:// or http(s):// address used instead")
    parser.add_argument("--lock", help="file to which digests of the fetched archives are added")
    arguments = parser.parse_args()
    archives = list_archives(arguments.sources, arguments.folder, arguments.mirror or None)
    if arguments.lock:
        present = {archive.path: archive.sha256 for archive in archives if archive.sha256}
        add_to_lock(Path(arguments.lock), present)
    print("\n".join(describe_archives(archives)), flush=True)


if __name__ == "__main__":
    run_script(main)
