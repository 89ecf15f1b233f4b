"""From an archive to clean splits: seconds, memory and disk at several sizes, and the slope.

    python benchmarks/corpora.py --folder FOLDER [--pairs 500000 5000000] [--processes 2]

The text is generated, or repeated from two aligned files (--text) with the number of the round
behind each sentence, so that no pair is a duplicate. What is timed is scripts/prepare_corpus.py
as the workflow runs it. For comparison, the same cleaning is timed one pair at a time, as one
would write it first. Archives stay in FOLDER and are used again.
"""

import argparse
import hashlib
import json
import re
import resource
import shutil
import subprocess
import sys
import threading
import time
import unicodedata
import zipfile
from itertools import count, islice
from pathlib import Path

import psutil

SCRIPTS = Path(__file__).parents[1] / "scripts"
sys.path.insert(0, str(SCRIPTS))

from reproduction.corpora.synthetic import generate_blocks  # noqa: E402

LANGUAGES = ("en", "de")
REFERENCE_PAIRS = 50_000


def repeated_lines(path: Path):
    """Lines of a file for ever, with the number of the round behind each."""
    lines = path.read_bytes().splitlines()
    for number in count():
        for line in lines:
            yield b"%b %d\n" % (line, number)


def make_archive(archive: Path, pairs: int, texts: list[Path] | None) -> None:
    """Write a zip archive with `pairs` lines in each of two members."""
    sides = [archive.with_suffix(f".{language}") for language in LANGUAGES]
    if texts:
        for path, text in zip(sides, texts):
            with open(path, "wb") as file:
                file.writelines(islice(repeated_lines(text), pairs))
    else:
        with open(sides[0], "wb") as first, open(sides[1], "wb") as second:
            for block in generate_blocks(LANGUAGES, pairs, seed=1):
                first.writelines(block[0])
                second.writelines(block[1])
    # Reading is timed, and that hardly depends on the level.
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as opened:
        for path, language in zip(sides, LANGUAGES):
            opened.write(path, f"text.{language}")
            path.unlink()


def prepare(archive: Path, output: Path, processes: int) -> dict:
    """Run the script; returns seconds, CPU seconds, bytes at most in memory and on disk, counts."""
    source = {"name": "text", "kind": "archive", "archive": str(archive), "path": "text.zip"}
    source["members"] = {language: f"text.{language}" for language in LANGUAGES}
    settings = {
        "languages": LANGUAGES,
        "sources": [source],
        "splits": {"train": "rest", "valid": 2500, "test": 2500},
        "seed": 1,
        "steps": [{"maximum_words": 250}, {"maximum_ratio": 9.0}],
    }
    shutil.rmtree(output, ignore_errors=True)
    before, start = _child_seconds(), time.monotonic()
    process = subprocess.Popen(
        [
            *(sys.executable, SCRIPTS / "prepare_corpus.py", "--corpus", "text"),
            *("--settings", json.dumps(settings), "--output-folder", output),
            *("--processes", str(processes)),
        ],
        stdout=subprocess.DEVNULL,
    )
    most = {"memory": 0, "disk": 0}
    watcher = threading.Thread(target=_watch, args=(process, output, most))
    watcher.start()
    if process.wait():
        raise SystemExit("the preparation failed")
    seconds = time.monotonic() - start
    watcher.join()
    counts = json.loads((output / "counts.json").read_text(encoding="utf-8"))
    return {"seconds": seconds, "cpu": _child_seconds() - before, **most, "counts": counts}


def _child_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _watch(process: subprocess.Popen, folder: Path, most: dict) -> None:
    """Look at the memory of all processes together, and at the folder, while it runs."""
    watched = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            family = [watched, *watched.children(recursive=True)]
            memory = sum(each.memory_info().rss for each in family)
            disk = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        except (psutil.Error, FileNotFoundError):
            continue
        most["memory"] = max(most["memory"], memory)
        most["disk"] = max(most["disk"], disk)
        time.sleep(0.1)


def reference_seconds(archive: Path) -> float:
    """CPU seconds a pair that normalising, folding and two keys take one sentence at a time."""
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="for archives and outputs")
    parser.add_argument("--pairs", type=int, nargs="+", default=[500_000, 5_000_000])
    parser.add_argument("--text", type=Path, nargs=2, help="two aligned files to repeat")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only-make", action="store_true", help="make the archives and stop")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    measured = []
    for pairs in options.pairs:
        kind = options.text[0].stem if options.text else "synthetic"
        archive = options.folder / f"{kind}-{pairs}.zip"
        if not archive.exists():
            make_archive(archive, pairs, options.text)
        if options.only_make:
            continue
        with zipfile.ZipFile(archive) as opened:
            raw = sum(member.file_size for member in opened.infolist())
        found = prepare(archive, options.folder / "out", options.processes)
        measured.append((pairs, found["seconds"], found["cpu"]))
        print(
            f"{pairs:,} pairs, {raw / 1e6:,.0f} MB raw, {archive.stat().st_size / 1e6:,.0f} MB zip:"
            f" {found['seconds']:.1f} s, CPU {found['cpu']:.1f} s"
            f" ({found['cpu'] / pairs * 1e6:.1f} us a pair; one at a time"
            f" {reference_seconds(archive) * 1e6:.1f}), memory {found['memory'] / 1e6:,.0f} MB,"
            f" disk {found['disk'] / raw:.2f} x raw and {archive.stat().st_size / raw:.2f} of the"
            f" archive\n  dropped {found['counts']['dropped']}, splits {found['counts']['splits']}",
            flush=True,
        )
    for (few, *first), (many, *second) in zip(measured, measured[1:]):
        for name, before, after in zip(("seconds", "CPU seconds"), first, second):
            slope = (after - before) / (many - few) * 1e6
            print(f"{few:,} to {many:,} pairs: {slope:.1f} {name} a million pairs")


if __name__ == "__main__":
    main()
