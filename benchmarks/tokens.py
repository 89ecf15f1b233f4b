"""Measure the conversion of text to token ids, also against spm_encode and fairseq-preprocess.

    python benchmarks/tokens.py --folder FOLDER [--text FIRST SECOND] [--rounds 2]

The text is generated, or repeated from two aligned files to the sizes asked for. In every round the
two ways take turns on the same text, and their bytes are compared. The other way encodes to a file
of pieces with the program spm_encode, where that is on the PATH, otherwise with the same library
line by line; then fairseq-preprocess --workers 2 makes the ids.
If other programs run at the same time, compare CPU seconds instead of seconds; the ratio to report
is that of the seconds on an idle machine.
"""

import filecmp
import shutil
import sys
from itertools import chain, cycle, islice
from pathlib import Path
from statistics import median

from archives import LANGUAGES, SCRIPTS, generate_text
from arguments import command_line
from measuring import Measured, measure, print_slopes

VOCABULARY_LINES = 200_000
ENCODER = """
import sys, sentencepiece
processor = sentencepiece.SentencePieceProcessor(model_file=sys.argv[1])
with open(sys.argv[2], encoding="utf-8", newline="\\n") as text, open(sys.argv[3], "w") as pieces:
    for line in text:
        pieces.write(" ".join(processor.encode(line.rstrip("\\n"), out_type=str)) + "\\n")
"""


def make_text(stem: Path, lines: int, texts: list[Path] | None) -> None:
    """Write STEM.en and STEM.de with `lines` lines each."""
    paths = [Path(f"{stem}.{language}") for language in LANGUAGES]
    if all(path.exists() for path in paths):
        return
    if texts:
        for path, text in zip(paths, texts):
            repeated = chain.from_iterable(cycle([text.read_bytes().splitlines(keepends=True)]))
            with open(path, "wb") as file:
                file.writelines(islice(repeated, lines))
        return
    generate_text(tuple(paths), lines)


def learn(stem: Path, folder: Path, size: int, threads: int) -> Measured:
    """Learn the vocabulary of both languages: folder/vocabulary.model."""
    return measure(
        [
            *(sys.executable, SCRIPTS / "learn_vocabulary.py", "--size", size, "--seed", 1),
            *("--text", *(f"{stem}.{language}" for language in LANGUAGES)),
            *("--sentences", VOCABULARY_LINES, "--threads", threads),
            *("--model", folder / "vocabulary.model"),
            *("--vocabulary", folder / "vocabulary.txt"),
        ],
        folder,
    )


def binarise(stem: Path, folder: Path, threads: int) -> Measured:
    """The ids of this repository: folder/ours."""
    output = folder / "ours"
    shutil.rmtree(output, ignore_errors=True)
    return measure(
        [
            *(sys.executable, SCRIPTS / "binarise_text.py", "--languages", *LANGUAGES),
            *("--model", folder / "vocabulary.model", "--split", "train", stem),
            *("--output", output, "--threads", threads),
        ],
        output,
    )


def preprocess(stem: Path, folder: Path) -> Measured:
    """The same by spm_encode and fairseq-preprocess: folder/stock."""
    output = folder / "stock"
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir()
    steps = []
    for language in LANGUAGES:
        pieces = output / f"pieces.{language}"
        if shutil.which("spm_encode"):
            command = ["spm_encode", "--model", folder / "vocabulary.model", "--output", pieces]
            command.append(f"{stem}.{language}")
        else:
            command = [sys.executable, "-c", ENCODER, folder / "vocabulary.model"]
            command += [f"{stem}.{language}", pieces]
        steps.append(measure(command, output))
    command = [Path(sys.executable).with_name("fairseq-preprocess"), "--joined-dictionary"]
    command += ["--source-lang", LANGUAGES[0], "--target-lang", LANGUAGES[1], "--workers", 2]
    command += ["--trainpref", output / "pieces", "--srcdict", folder / "ours/dict.en.txt"]
    with open(folder / "fairseq.log", "w") as log:
        command += ["--destdir", output / "bin"]
        steps.append(measure(command, output, stdout=log, stderr=log))
    seconds, cpu, memory, disk = zip(*steps)
    return Measured(sum(seconds), sum(cpu), max(memory), max(disk))


def compare_bytes(folder: Path) -> None:
    """Stop if the two ways made different ids."""
    names = [f"train.en-de.{language}.{kind}" for language in LANGUAGES for kind in ("bin", "idx")]
    names += [f"dict.{language}.txt" for language in LANGUAGES]
    same, _, _ = filecmp.cmpfiles(folder / "ours", folder / "stock/bin", names, shallow=False)
    if len(same) != len(names):
        raise SystemExit(f"different bytes: {', '.join(sorted(set(names) - set(same)))}")
    print(f"the same bytes: {', '.join(names)}", flush=True)


def tell(way: str, lines: int, raw: int, found: Measured) -> None:
    """Print what one way took."""
    print(
        f"{lines:,} pairs, {raw / 1e6:,.0f} MB of text: {way} {found.seconds:.1f} s, CPU"
        f" {found.cpu:.1f} s, memory {found.memory / 1e6:,.0f} MB, disk {found.disk / raw:.2f} x"
        f" text, {2 * lines / found.seconds:,.0f} sentences/s",
        flush=True,
    )


def main() -> None:
    """Measure what the command line asks for."""
    parser = command_line(__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="for texts and outputs")
    parser.add_argument("--lines", type=int, default=200_000, help="pairs for the comparison")
    parser.add_argument(
        "--alone",
        type=int,
        nargs="*",
        default=[500_000, 5_000_000],
        help="sizes to measure without the other way, in sentence pairs",
    )
    parser.add_argument("--text", type=Path, nargs=2, help="two aligned files to repeat")
    parser.add_argument("--vocabulary", type=int, default=32_000, help="symbols of the vocabulary")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--rounds", type=int, default=1, help="rounds of the comparison; 0 = none")
    options = parser.parse_args()
    folder = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    kind = options.text[0].stem if options.text else "synthetic"
    sizes = [options.lines, *options.alone]
    stems = {lines: folder / f"{kind}-{lines}" for lines in sizes}
    raw = {}
    for lines, stem in stems.items():
        make_text(stem, lines, options.text)
        raw[lines] = sum(Path(f"{stem}.{language}").stat().st_size for language in LANGUAGES)
    print(learn(stems[options.lines], folder, options.vocabulary, options.threads))
    ratios = []
    for _ in range(options.rounds):
        ours = binarise(stems[options.lines], folder, options.threads)
        stock = preprocess(stems[options.lines], folder)
        tell("this repository", options.lines, raw[options.lines], ours)
        tell("spm_encode and fairseq-preprocess", options.lines, raw[options.lines], stock)
        compare_bytes(folder)
        ratios.append((stock.seconds / ours.seconds, stock.cpu / ours.cpu))
    if ratios:
        seconds, cpu = (median(column) for column in zip(*ratios))
        print(f"{seconds:.1f} times faster; {cpu:.1f} times less CPU (medians of {len(ratios)})")
    measured = {}
    for lines in options.alone:
        found = measured[lines] = binarise(stems[lines], folder, options.threads)
        tell("this repository", lines, raw[lines], found)
    print_slopes(measured)


if __name__ == "__main__":
    main()
