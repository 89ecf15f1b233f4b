"""Measure all steps from an archive to token ids: seconds, memory, disk, seconds per further pair.

    python benchmarks/archive_to_tokens.py --folder FOLDER [--pairs 500000 5000000]

The text is generated, or repeated from two aligned files (--text). The scripts of the workflow are
timed one after the other: prepare_corpus.py, learn_vocabulary.py and binarise_text.py, for the
shared vocabulary of a language pair. --stages runs some of them alone on the files that the others
wrote to FOLDER.
"""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from archives import LANGUAGES, SCRIPTS, SPLITS, add_arguments, archives, prepare_command
from arguments import command_line
from limits import within_limits
from measuring import Measured, measure, print_slopes

STAGES = ("prepare", "learn", "binarise")
MOST_SECONDS = 15 * 60  # for 5 million pairs on two cores
MOST_MEMORY = 2e9
MOST_DISK = 4  # times the raw text


def stage_command(stage: str, archive: Path, folder: Path, options) -> list:
    """The command of one stage, as the workflow would run it."""
    text, tokens = folder / "text", folder / "tokens"
    if stage == "prepare":
        return prepare_command(archive, text, options.threads)
    if stage == "learn":
        arguments = [sys.executable, SCRIPTS / "learn_vocabulary.py"]
        arguments += ["--size", options.vocabulary, "--seed", 1]
        arguments += ["--text", *(text / f"train.{language}" for language in LANGUAGES)]
        arguments += ["--sentences", options.sentences, "--threads", options.threads]
        arguments += ["--model", tokens / "sentencepiece.model"]
        return [*arguments, "--vocabulary", tokens / "sentencepiece.vocab"]
    arguments = [sys.executable, SCRIPTS / "binarise_text.py"]
    arguments += ["--model", tokens / "sentencepiece.model"]
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
        measured.append(measure(stage_command(stage, archive, folder, options), folder))
        print(f"{pairs:,} pairs, {stage}: {measured[-1].told(raw)}", flush=True)
    return measured


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the sizes that the command line asks for."""
    parser = command_line(__doc__)
    add_arguments(parser)
    parser.add_argument(
        "--stages",
        nargs="+",
        choices=STAGES,
        default=STAGES,
        help="which steps to run; the others must have left their files",
    )
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--vocabulary", type=int, default=32_000, help="symbols of the vocabulary")
    parser.add_argument(
        "--sentences",
        type=int,
        default=2_000_000,
        help="sentences that the vocabulary is learnt from",
    )
    options = parser.parse_args(arguments)
    measured = {}
    for pairs, archive, raw in archives(options):
        seconds, cpu, memory, disk = zip(*run_stages(archive, raw, pairs, options))
        total = Measured(sum(seconds), sum(cpu), max(memory), max(disk) + archive.stat().st_size)
        print(f"{pairs:,} pairs, all, with the archive: {total.told(raw)}", flush=True)
        within_limits(
            (
                ("time for 5 M pairs", total.seconds * 5e6 / pairs, MOST_SECONDS, "s"),
                ("memory", total.memory / 1e9, MOST_MEMORY / 1e9, "GB"),
                ("disk", total.disk / raw, MOST_DISK, "x raw text"),
            )
        )
        measured[pairs] = total
    print_slopes(measured)


if __name__ == "__main__":
    main()
