"""From an archive to clean splits: seconds, memory and disk at several sizes, and the slope.

    python benchmarks/corpora.py --folder FOLDER [--pairs 500000 5000000] [--processes 2]

The text is generated, or repeated from two aligned files (--text). scripts/prepare_corpus.py is
timed as the workflow runs it. For comparison, a simple implementation of the same cleaning is
timed, which handles one pair at a time. Archives stay in FOLDER and are used again.
"""

import hashlib
import json
import re
import shutil
import subprocess
import time
import unicodedata
import zipfile
from itertools import islice
from pathlib import Path

from archives import LANGUAGES, add_arguments, archives, prepare_command
from arguments import command_line
from measuring import measure, print_slopes

REFERENCE_PAIRS = 50_000


def reference_seconds(archive: Path) -> float:
    """CPU seconds per pair for normalising, folding and two keys, one sentence at a time."""
    with zipfile.ZipFile(archive) as opened:
        sides = [opened.open(f"text.{language}") for language in LANGUAGES]
        pairs = list(zip(*(islice(side, REFERENCE_PAIRS) for side in sides)))
    start = time.process_time()
    for pair in pairs:
        clean = [" ".join(unicodedata.normalize("NFC", side.decode()).split()) for side in pair]
        folded = [re.sub(r"[\W_]+", "", side.casefold()) for side in clean]
        for sides in (clean, folded):
            hashlib.blake2b("\t".join(sides).encode(), digest_size=8).digest()
    return (time.process_time() - start) / len(pairs)


def main() -> None:
    """Measure the sizes that the command line asks for."""
    parser = command_line(__doc__)
    add_arguments(parser)
    parser.add_argument("--processes", type=int, default=2, help="processes that clean the text")
    options = parser.parse_args()
    measured, output = {}, options.folder / "out"
    for pairs, archive, raw in archives(options):
        shutil.rmtree(output, ignore_errors=True)
        command = prepare_command(archive, output, options.processes)
        found = measured[pairs] = measure(command, output, stdout=subprocess.DEVNULL)
        counts = json.loads((output / "counts.json").read_text(encoding="utf-8"))
        zipped = archive.stat().st_size
        print(
            f"{pairs:,} pairs, {raw / 1e6:,.0f} MB raw, {zipped / 1e6:,.0f} MB zip:"
            f" {found.told(raw)} and {zipped / raw:.2f} of the archive\n"
            f"  {found.cpu / pairs * 1e6:.1f} us of CPU a pair; one at a time"
            f" {reference_seconds(archive) * 1e6:.1f}\n"
            f"  dropped {counts['dropped']}, splits {counts['splits']}",
            flush=True,
        )
    print_slopes(measured)


if __name__ == "__main__":
    main()
