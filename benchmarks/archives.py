"""Archives of any size for the benchmarks of corpora: generated, or repeated from two files."""

import argparse
import json
import sys
import zipfile
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

SCRIPTS = Path(__file__).parents[1] / "scripts"
sys.path.insert(0, str(SCRIPTS))

from text.synthetic import write_synthetic_text  # noqa: E402

LANGUAGES = ("en", "de")
SPLITS = {"train": "rest", "valid": 2500, "test": 2500}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options that say which archives are made, and where."""
    parser.add_argument("--folder", type=Path, required=True, help="for archives and outputs")
    parser.add_argument(
        "--pairs",
        type=int,
        nargs="+",
        default=[500_000, 5_000_000],
        help="sizes of the text, in sentence pairs",
    )
    parser.add_argument("--text", type=Path, nargs=2, help="two aligned files to repeat")
    parser.add_argument("--only-make", action="store_true", help="make the archives and stop")


def archives(options: argparse.Namespace) -> Iterator[tuple[int, Path, int]]:
    """Pairs, path and bytes of the text of every archive; existing archives are used again."""
    options.folder.mkdir(parents=True, exist_ok=True)
    kind = options.text[0].stem if options.text else "synthetic"
    for pairs in options.pairs:
        archive = options.folder / f"{kind}-{pairs}.zip"
        if not archive.exists():
            _make_archive(archive, pairs, options.text)
        with zipfile.ZipFile(archive) as opened:
            raw = sum(member.file_size for member in opened.infolist())
        if not options.only_make:
            yield pairs, archive, raw


def prepare_command(archive: Path, output: Path, processes: int) -> list:
    """scripts/prepare_corpus.py as the workflow calls it, with the steps of config.yaml."""
    source = {"name": "text", "kind": "archive", "archive": str(archive), "path": "text.zip"}
    source["members"] = {language: f"text.{language}" for language in LANGUAGES}
    settings = {"languages": LANGUAGES, "sources": [source], "splits": SPLITS, "seed": 1}
    settings["steps"] = [{"maximum_words": 250}, {"maximum_ratio": 9.0}]
    command = [sys.executable, SCRIPTS / "prepare_corpus.py", "--corpus", "text"]
    command += ["--settings", json.dumps(settings), "--output-folder", output]
    return [*command, "--processes", processes]


def generate_text(paths: tuple[Path, Path], pairs: int) -> None:
    """Write pairs of artificial text."""
    write_synthetic_text(paths, LANGUAGES, pairs, seed=1)


def _make_archive(archive: Path, pairs: int, texts: list[Path] | None) -> None:
    """Write a zip archive with `pairs` lines in each of two members."""
    sides = tuple(archive.with_suffix(f".{language}") for language in LANGUAGES)
    if texts:
        for path, text in zip(sides, texts):
            with open(path, "wb") as file:
                file.writelines(islice(_repeated_lines(text), pairs))
    else:
        generate_text(sides, pairs)
    # Only reading is timed, and it hardly depends on the level.
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as opened:
        for path, language in zip(sides, LANGUAGES):
            opened.write(path, f"text.{language}")
            path.unlink()


def _repeated_lines(path: Path) -> Iterator[bytes]:
    """Lines of a file, endlessly repeated; the number of the round makes every pair different."""
    lines = path.read_bytes().splitlines()
    for number in count():
        for line in lines:
            yield b"%b %d\n" % (line, number)
