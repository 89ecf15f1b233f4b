"""How fast a training runs: stock fairseq and the faster ways side by side, and where time goes.

Every row is a training of its own: an objective, a way (stock fairseq, its updates in one pass, all
of the faster ways, or one of them alone) and what is recorded. All rows of an objective make
the same updates in turns of a few, batches read and padded included, so that whatever else the
machine does falls on all of them. Prints a row each: tokens and updates per second, milliseconds
of an update, share of the peak, memory, and what the paper's 15 models would take. On a CPU times
are the processor's own, of the fastest turn: others on the machine disturb it least.
`--publish FILE` writes the rows as the table of that file.

    python benchmarks/throughput.py --preset demo                       # a CPU, minutes
    python benchmarks/throughput.py --preset paper --publish docs/performance.md   # a GPU

Tokens are drawn by Zipf's law, in sentences as long as Europarl's, unless --text names a
text, or --tokens what the workflow made of one: results/<run>/tokens/wmt-en-de.
"""

from __future__ import annotations

import argparse
import datetime
import re
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from recording_cost import MODELS, SCRIPTS, preset_configuration
from token_ids import write_text_tokens, write_zipf_tokens

sys.path.insert(0, str(SCRIPTS))

SWITCHES = ("fast_layers", "fast_cross_entropy", "fast_optimizer", "fast_masking")
STOCK = {**dict.fromkeys(SWITCHES, False), "compile": False, "micro_batches": "stock"}
FAST = dict.fromkeys(SWITCHES, True)
RECORDINGS = {
    "off": None,
    "batch": {},
    "batch + probe": {"probe": 1},
    "batch + probe, stride 10": {"probe": 10},
}
PAPER = {"clm": 4, "mlm": 4, "mt": 7}  # models of each objective
COLUMNS = (
    "objective", "way", "LCA", "tokens/s", "updates/s", "ms", "x stock", "TFLOP/s", "of the peak",
    "GB", "hours of a model",
)  # fmt: skip


def ways(training: Mapping[str, object], compiled: bool) -> dict[str, dict]:
    """Settings that differ from the preset's, for every way by its name."""
    whole = training["max_tokens"] * training["update_frequency"]
    found = {"stock": STOCK}
    if training["update_frequency"] > 1:
        found["stock, one pass"] = {**STOCK, "max_tokens": whole, "update_frequency": 1}
    found |= {name: {**STOCK, name: True} for name in SWITCHES}
    if training["update_frequency"] > 1:
        found["micro_batches"] = {**STOCK, "micro_batches": "auto"}
    found["fast"] = {**STOCK, **FAST, "micro_batches": "auto"}
    if compiled:
        found["fast, compiled"] = {**found["fast"], "compile": True}
    return found


@dataclass
class Variant:
    """One training and what was measured of it, a number per turn."""

    way: str
    recording: str
    trainer: object
    task: object
    updates: Iterator[list]
    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    tokens: list[float] = field(default_factory=list)
    flops: list[float] = field(default_factory=list)
    memory: float = 0.0

    def run(self, number: int, cuda: bool, timed: bool = True, most: float = 1e9) -> None:
        """Make some updates, fewer when they take more than `most` seconds.

        What is kept are numbers per update.
        """
        import torch

        held = 0
        if cuda:
            torch.cuda.reset_peak_memory_stats()
            held = torch.cuda.memory_allocated()
        start, start_of_processor, made = time.perf_counter(), time.process_time(), []
        updates = 0
        while updates < number and time.perf_counter() - start < most:
            samples = self.task.join_samples(next(self.updates), self.trainer.get_model())
            made += samples
            self.trainer.train_step(samples)
            updates += 1
        if cuda:
            torch.cuda.synchronize()
        if timed:
            self.seconds.append((time.perf_counter() - start) / updates)
            self.processor.append((time.process_time() - start_of_processor) / updates)
            self.tokens.append(sum(int(sample["ntokens"]) for sample in made) / updates)
            self.flops.append(operations(self.trainer.get_model(), made) / updates)
        if cuda:
            self.memory = max(self.memory, torch.cuda.max_memory_allocated() - held)


def operations(model, samples: Sequence[Mapping]) -> float:
    """Of the products with matrices, there and back; attention's own are left out."""
    source = sum(int(sample["net_input"]["src_tokens"].ne(1).sum()) for sample in samples)
    target = sum(int(sample["target"].ne(1).sum()) for sample in samples)
    seen = {"encoder": source, "decoder": sum(int(sample["ntokens"]) for sample in samples)}
    total, vocabulary = 0, 0
    for name, parameter in model.named_parameters():
        if parameter.dim() == 2 and ".layers." in name:
            cross = re.search(r"encoder_attn\.[kv]_proj", name)
            total += parameter.numel() * (source if cross else seen[name.partition(".")[0]])
        elif parameter.dim() == 2:
            vocabulary = max(vocabulary, parameter.numel())
    return 6.0 * (total + vocabulary * target)


def endless(trainer, frequency: int) -> Iterator[list]:
    """The batches of every update, epoch after epoch."""
    from fairseq.data import iterators

    epochs = trainer.get_train_iterator(1)
    while True:
        for samples in iterators.GroupedIterator(epochs.next_epoch_itr(shuffle=True), frequency):
            if len(samples) == frequency:
                yield samples
        epochs = trainer.get_train_iterator(epochs.next_epoch_idx, load_dataset=False)


def build_row(objective, way, changes, recording, configuration, data, folder, device) -> Variant:
    """A training ready to run."""
    from losschange_fairseq.building import build_trainer
    from training.fairseq_arguments import fairseq_arguments

    model = parse(objective)
    settings = configuration.training_of(model).model_dump() | changes
    estimators = RECORDINGS[recording]
    recorded = configuration.recording.settings() | {
        "estimators": estimators or {},
        "details": {},
    }
    arguments = fairseq_arguments(model, settings, data, 1, device, recorded)
    place = folder / f"{objective}-{way}-{recording}".replace(" ", "").replace(",", "-")
    parts = ["--lca-parts", str(place / "parts")] if estimators is not None else []
    _, task, trainer = build_trainer([*arguments, *parts, "--save-dir", str(place)])
    return Variant(way, recording, trainer, task, endless(trainer, settings["update_frequency"]))


def measured_peak(cuda: bool) -> float:
    """Operations per second of a large product, as fast as the device gets."""
    import torch

    size, kind = (8192, torch.bfloat16) if cuda else (1024, torch.float32)
    one = torch.randn(size, size, dtype=kind, device="cuda" if cuda else "cpu")
    best, clock = float("inf"), time.perf_counter if cuda else time.process_time
    for _ in range(10):
        start = clock()
        for _ in range(5):
            one @ one
        if cuda:
            torch.cuda.synchronize()
        best = min(best, (clock() - start) / 5)
    return 2 * size**3 / best


def measure(rows: Sequence[Variant], cuda: bool, options: argparse.Namespace) -> None:
    """Let all rows make their updates in turns, after some to warm up."""
    for row in rows:
        row.run(8, cuda, timed=False, most=2 * options.seconds)
    for turn in range(options.turns):
        for row in rows[:: 1 if turn % 2 else -1]:
            # The caches still hold another training.
            row.run(1, cuda, timed=False)
            row.run(options.length, cuda, most=options.seconds)


def line_of(
    objective: str, row: Variant, stock: Variant, peak: float, cuda: bool, updates: int
) -> list:
    """A row of the table."""
    if cuda:
        seconds, reference = statistics.median(row.seconds), statistics.median(stock.seconds)
    else:
        # On a shared CPU only the processor's own time is the training's, and what others do to the
        # caches can only add to it.
        seconds, reference = min(row.processor), min(stock.processor)
    ratio, speed = reference / seconds, statistics.median(row.flops) / seconds
    return [
        *(objective, row.way, row.recording),
        f"{statistics.median(row.tokens) / seconds:,.0f}",
        *(f"{1 / seconds:.2f}", f"{seconds * 1e3:.1f}"),
        f"{ratio:.2f}",
        *(f"{speed / 1e12:.3g}", f"{speed / peak:.0%}"),
        f"{row.memory / 2**30:.1f}" if cuda else "",
        f"{updates * seconds / 3600:.2f}",
    ]


def where_time_goes(row: Variant, cuda: bool) -> str:
    """PyTorch's profile of three updates: its most expensive operations."""
    from torch.profiler import ProfilerActivity, profile

    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=kinds) as found:
        row.run(3, cuda, timed=False)
    averages = found.key_averages()
    order = "self_cuda_time_total" if cuda else "self_cpu_time_total"
    busy = sum(average.self_device_time_total for average in averages) / 3e3
    device = f"The device computes {busy:.1f} ms of every update.\n" if cuda else ""
    return device + averages.table(sort_by=order, row_limit=25, max_name_column_width=60)


def as_table(lines: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    rows = [COLUMNS, ["---"] * len(COLUMNS), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def projection(lines: Sequence[Sequence[str]]) -> str:
    """Hours of the 15 models, per way and recording that every objective was measured with."""
    hours: dict[tuple, dict] = {}
    for line in lines:
        hours.setdefault((line[1], line[2]), {})[line[0]] = float(line[-1].replace(",", ""))
    return "\n".join(
        f"All 15 models, {way}, LCA {recording}: "
        f"{sum(PAPER[objective] * value for objective, value in found.items()):,.1f} hours"
        for (way, recording), found in hours.items()
        if len(found) == len(PAPER)
    )


def publish(path: Path, text: str) -> None:
    """Put text between the two marks of a file."""
    start, end = "<!-- measured: start -->", "<!-- measured: end -->"
    before, _, rest = path.read_text(encoding="utf-8").partition(start)
    _, found, after = rest.partition(end)
    if not found:
        sys.exit(f"{path} lacks the marks {start} and {end}")
    path.write_text(f"{before}{start}\n{text}\n{end}{after}", encoding="utf-8")


def conditions(cuda: bool, peak: float) -> str:
    """When and on what was measured."""
    import importlib.metadata as metadata

    import torch

    card = torch.cuda.get_device_name() if cuda else f"a CPU, {torch.get_num_threads()} thread"
    return (
        f"{datetime.date.today()}, {card}, PyTorch {torch.__version__.partition('+')[0]}, "
        f"fairseq-fixed {metadata.version('fairseq-fixed')}; "
        f"a large product reaches {peak / 1e12:.3g} TFLOP/s."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--preset", default="demo", help="demo, sample or paper: whose models")
    parser.add_argument("--objectives", nargs="+", default=list(MODELS), choices=MODELS)
    parser.add_argument("--ways", nargs="+", help="default: all of them")
    parser.add_argument("--recordings", nargs="+", default=list(RECORDINGS), choices=RECORDINGS)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="of training")
    parser.add_argument("--tokens", type=Path, help="token ids without their .en and .en-de")
    parser.add_argument("--text", type=Path, help="a text's path without its .en and .de")
    parser.add_argument("--sentences", type=int, default=20000, help="of drawn tokens")
    parser.add_argument("--compile", action="store_true", help="measure torch.compile too")
    parser.add_argument("--profile", action="store_true", help="print where the time goes")
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--length", type=int, default=10, help="updates per turn")
    parser.add_argument("--seconds", type=float, default=1e9, help="most of a turn, for slow ways")
    parser.add_argument("--peak", type=float, help="TFLOP/s; measured if not given")
    parser.add_argument("--publish", type=Path, help="a file with a place for the table")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    import torch
    import yaml

    cuda = torch.cuda.is_available()
    if options.publish and not cuda:
        sys.exit("the published table is a GPU's, and torch finds none")
    if not cuda:
        torch.set_num_threads(1)
    configuration = preset_configuration(options.preset)
    given = {
        key: yaml.safe_load(value) for key, _, value in (s.partition("=") for s in options.set)
    }
    peak = options.peak * 1e12 if options.peak else measured_peak(cuda)
    lines: list[list] = []
    print(conditions(cuda, peak), as_table([]), sep="\n", flush=True)
    with tempfile.TemporaryDirectory() as name:
        for objective in options.objectives:
            size, pair = configuration.vocabulary.size, objective == "mt"
            folder = Path(name) / objective
            folder.mkdir()
            if options.tokens:
                data = Path(f"{options.tokens.resolve()}.{'en-de' if pair else 'en'}")
            elif options.text:
                data = write_text_tokens(folder, pair, size, options.text.resolve())
            else:
                data = write_zipf_tokens(folder, pair, size, options.sentences)
            training = configuration.training_of(parse(objective)).model_dump() | given
            known = ways(training, options.compile)
            chosen = {way: known[way] for way in options.ways or known}
            rows = [
                build_row(
                    *(objective, way, given | changes, recording, configuration, data, folder),
                    "cuda" if cuda else "cpu",
                )
                for way, changes in chosen.items()
                for recording in options.recordings
            ]
            measure(rows, cuda, options)
            for row in rows:
                updates = training["total_updates"]
                lines.append(line_of(objective, row, rows[0], peak, cuda, updates))
                print(f"| {' | '.join(lines[-1])} |", flush=True)
            if options.profile:
                last = {row.way: row for row in rows}
                for row in last.values():
                    print(f"\n{objective}, {row.way}, LCA {row.recording}:")
                    print(where_time_goes(row, cuda), flush=True)
            del rows
    print(projection(lines))
    if options.publish:
        text = [conditions(cuda, peak), as_table(lines), projection(lines)]
        publish(options.publish, "\n\n".join(text))


def parse(objective: str):
    """The model that stands for an objective."""
    from running.models import parse_model

    return parse_model(MODELS[objective])


if __name__ == "__main__":
    main()
