"""The whole way from an archive to training-ready token ids: seconds, memory, disk, slope.

    python benchmarks/archive_to_tokens.py --folder FOLDER [--pairs 500000 5000000]

The text is generated, or repeated from two aligned files (--text), as in corpora.py. What is timed
are the scripts of the workflow, one after the other: prepare_corpus.py, learn_vocabulary.py and
binarise_text.py, for the shared vocabulary of a language pair. --stages runs some of them alone on
what the others left in FOLDER.
"""

import argparse
import json
import shutil
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from corpora import LANGUAGES, make_archive
from measuring import Measured, measure

SCRIPTS = Path(__file__).parents[1] / "scripts"
SPLITS = {"train": "rest", "valid": 2500, "test": 2500}
STAGES = ("prepare", "learn", "binarise")
MOST_SECONDS = 15 * 60  # for 5 million pairs on two cores
MOST_MEMORY = 2e9
MOST_DISK = 4  # times the raw text


def stage_command(stage: str, archive: Path, folder: Path, options) -> list:
    """The command of one stage, as the workflow would run it."""
    text, tokens = folder / "text", folder / "tokens"
    if stage == "prepare":
        source = {"name": "text", "kind": "archive", "archive": str(archive), "path": "text.zip"}
        source["members"] = {language: f"text.{language}" for language in LANGUAGES}
        settings = {"languages": LANGUAGES, "sources": [source], "splits": SPLITS, "seed": 1}
        settings["steps"] = [{"maximum_words": 250}, {"maximum_ratio": 9.0}]
        arguments = ["prepare_corpus.py", "--corpus", "text", "--settings", json.dumps(settings)]
        return [*arguments, "--output-folder", text, "--processes", options.threads]
    if stage == "learn":
        arguments = ["learn_vocabulary.py", "--size", options.vocabulary, "--seed", 1]
        arguments += ["--text", *(text / f"train.{language}" for language in LANGUAGES)]
        arguments += ["--sentences", options.sentences, "--threads", options.threads]
        arguments += ["--model", tokens / "sentencepiece.model"]
        return [*arguments, "--vocabulary", tokens / "sentencepiece.vocab"]
    arguments = ["binarise_text.py", "--model", tokens / "sentencepiece.model"]
    arguments += ["--languages", *LANGUAGES, "--output", tokens, "--threads", options.threads]
    for split in SPLITS:
        arguments += ["--split", split, text / split]
    return arguments


def run_stages(archive: Path, raw: int, pairs: int, options) -> list[Measured]:
    """Run the stages that were asked for, and print what each took."""
    folder = options.folder / archive.stem
    if "prepare" in options.stages:
        shutil.rmtree(folder, ignore_errors=True)
    measured = []
    for stage in options.stages:
        script, *rest = stage_command(stage, archive, folder, options)
        measured.append(measure([sys.executable, SCRIPTS / script, *rest], folder))
        print(f"{pairs:,} pairs, {stage}: {told(measured[-1], raw)}", flush=True)
    return measured


def told(found: Measured, raw: int) -> str:
    """What was measured, in words."""
    return (
        f"{found.seconds:.1f} s, CPU {found.cpu:.1f} s, memory {found.memory / 1e6:,.0f} MB,"
        f" disk {found.disk / raw:.2f} x raw"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the sizes that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="for archives and outputs")
    parser.add_argument("--pairs", type=int, nargs="+", default=[500_000, 5_000_000])
    parser.add_argument("--text", type=Path, nargs=2, help="two aligned files to repeat")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--vocabulary", type=int, default=32_000)
    parser.add_argument("--sentences", type=int, default=2_000_000, help="for the vocabulary")
    parser.add_argument("--only-make", action="store_true", help="make the archives and stop")
    options = parser.parse_args(arguments)
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
        seconds, cpu, memory, disk = zip(*run_stages(archive, raw, pairs, options))
        total = Measured(sum(seconds), sum(cpu), max(memory), max(disk) + archive.stat().st_size)
        print(f"{pairs:,} pairs, all, with the archive: {told(total, raw)}", flush=True)
        for what, found, most in (
            ("seconds for 5 M pairs", total.seconds * 5e6 / pairs, MOST_SECONDS),
            ("GB of memory", total.memory / 1e9, MOST_MEMORY / 1e9),
            ("times the raw text on disk", total.disk / raw, MOST_DISK),
        ):
            print(f"  {'pass' if found <= most else 'FAIL'}: {found:.2f} {what} (limit {most})")
        measured.append((pairs, total.seconds, total.cpu))
    for (few, *first), (many, *second) in zip(measured, measured[1:]):
        for name, before, after in zip(("seconds", "CPU seconds"), first, second):
            slope = (after - before) / (many - few) * 1e6
            print(f"{few:,} to {many:,} pairs: {slope:.1f} {name} a million pairs")


if __name__ == "__main__":
    main()
