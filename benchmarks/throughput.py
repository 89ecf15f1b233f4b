"""Measure the speed of training on a CPU: stock fairseq and the faster ways, and a profile.

Every row is a training of its own: an objective, a way (stock fairseq, its updates in one pass, all
of the faster ways, or one of them alone) and what is recorded. All rows of an objective make the
same updates in turns of a few, reading and padding included, so that other load of the machine
affects all of them. Times are processor times of the fastest turn, which other programs disturb
least. Prints a row each. gpu_check.py measures a GPU.

    python benchmarks/throughput.py --preset demo

Tokens are drawn by Zipf's law, in sentences as long as Europarl's, unless --text names a text.
"""

from __future__ import annotations

import statistics
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from arguments import add_objectives, command_line
from gpu.clock import Clock
from gpu.measuring import Training, Turn, measured_peak, new_folder
from gpu.scales import FAST, MODELS, STOCK, SWITCHES
from recording_cost import preset_configuration
from token_ids import write_text_tokens, write_zipf_tokens

RECORDINGS = {
    "off": None,
    "batch": {},
    "batch + probe": {"probe": 1},
    "batch + probe, stride 10": {"probe": 10},
}
COLUMNS = (
    "objective", "way", "LCA", "tokens/s", "updates/s", "ms", "x stock", "TFLOP/s", "of the peak",
)  # fmt: skip


class MeasuredWay:
    """A training with its names and its turns."""

    def __init__(self, way: str, recording: str, training: Training):
        self.way, self.recording, self.training = way, recording, training
        self.turns: list[Turn] = []

    @property
    def seconds(self) -> float:
        """Processor seconds of an update in the fastest turn."""
        return min(turn.processor for turn in self.turns)


def ways(training: Mapping[str, object]) -> dict[str, dict]:
    """Settings that differ from the preset's, for every way by its name."""
    found = {"stock": STOCK}
    if training["update_frequency"] > 1:
        whole = training["max_tokens"] * training["update_frequency"]
        found["stock, one pass"] = {**STOCK, "max_tokens": whole, "update_frequency": 1}
    found |= {name: {**STOCK, name: True} for name in SWITCHES}
    return found | {"fast": FAST}


def build_row(objective, way, changes, recording, configuration, data, folder) -> MeasuredWay:
    """A training ready to run."""
    from running.models import parse_model

    model = parse_model(MODELS[objective])
    settings = configuration.training_of(model).model_dump() | changes
    estimators, recorded = RECORDINGS[recording], None
    if estimators is not None:
        changed = {"estimators": estimators, "details": {}}
        recorded = configuration.recording.settings() | changed
    place = new_folder(folder, objective, way, recording)
    return MeasuredWay(way, recording, Training(model, settings, data, place, "cpu", recorded))


def measure(rows: Sequence[MeasuredWay], turns: int, length: int) -> None:
    """Let all rows make their updates in turns, after some to warm up."""
    clock = Clock.of(float("inf"))
    for row in rows:
        row.training.run(8, clock)
    for turn in range(turns):
        for row in rows[:: 1 if turn % 2 else -1]:
            # Not timed, because the caches still hold data of another training.
            row.training.run(1, clock)
            row.turns.append(row.training.run(length, clock))


def line_of(objective: str, row: MeasuredWay, stock: MeasuredWay, peak: float) -> list[str]:
    """A row of the table."""
    seconds = row.seconds
    tokens, flops = (
        statistics.median(getattr(turn, name) for turn in row.turns) for name in ("tokens", "flops")
    )
    return [
        *(objective, row.way, row.recording),
        f"{tokens / seconds:,.0f}",
        *(f"{1 / seconds:.2f}", f"{seconds * 1e3:.1f}"),
        f"{stock.seconds / seconds:.2f}",
        *(f"{flops / seconds / 1e12:.3g}", f"{flops / seconds / peak:.0%}"),
    ]


def where_time_goes(row: MeasuredWay) -> str:
    """PyTorch's profile of three updates: its most expensive operations."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as found:
        row.training.run(3, Clock.of(float("inf")))
    averages = found.key_averages()
    return averages.table(sort_by="self_cpu_time_total", row_limit=25, max_name_column_width=60)


def show(cells: Sequence[str]) -> None:
    """Print a row in Markdown."""
    print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--preset", default="demo", help="demo, sample or paper: whose models")
    add_objectives(parser, MODELS)
    parser.add_argument("--ways", nargs="+", help="default: all of them")
    parser.add_argument(
        "--recordings",
        nargs="+",
        default=list(RECORDINGS),
        choices=RECORDINGS,
        help="what is recorded, each in a training of its own",
    )
    parser.add_argument(
        "--set",
        nargs="*",
        default=[],
        metavar="KEY=VALUE",
        help="keys of training that differ from the preset's",
    )
    parser.add_argument("--text", type=Path, help="a text's path without its .en and .de")
    parser.add_argument("--sentences", type=int, default=20000, help="sentences of drawn tokens")
    parser.add_argument("--profile", action="store_true", help="print where the time goes")
    parser.add_argument("--turns", type=int, default=6, help="how often the trainings take turns")
    parser.add_argument("--length", type=int, default=10, help="updates per turn")
    parser.add_argument("--peak", type=float, help="TFLOP/s; measured if not given")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    import torch
    import yaml

    from running.models import parse_model

    torch.set_num_threads(1)
    configuration = preset_configuration(options.preset)
    given = {
        key: yaml.safe_load(value) for key, _, value in (s.partition("=") for s in options.set)
    }
    peak = options.peak * 1e12 if options.peak else measured_peak(cuda=False)
    print(f"one thread; a large product reaches {peak / 1e12:.3g} TFLOP/s\n")
    show(COLUMNS)
    show(["---"] * len(COLUMNS))
    with tempfile.TemporaryDirectory() as name:
        for objective in options.objectives:
            size, pair = configuration.vocabulary.size, objective == "mt"
            folder = Path(name) / objective
            folder.mkdir()
            if options.text:
                data = write_text_tokens(folder, pair, size, options.text.resolve())
            else:
                data = write_zipf_tokens(folder, pair, size, options.sentences)
            model = parse_model(MODELS[objective])
            known = ways(configuration.training_of(model).model_dump() | given)
            rows = [
                build_row(
                    objective, way, given | known[way], recording, configuration, data, folder
                )
                for way in options.ways or known
                for recording in options.recordings
            ]
            measure(rows, options.turns, options.length)
            for row in rows:
                show(line_of(objective, row, rows[0], peak))
                if options.profile:
                    print(where_time_goes(row))


if __name__ == "__main__":
    main()
