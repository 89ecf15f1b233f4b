"""Second stage: tokens per second of every objective, way and recording.

The trainings of one objective and one way differ only in what is recorded. They make their updates
in turns in one process, so that they are compared under the same load. The most important ways come
first, because the last ones of the list are left out if the time of the stage is over.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from unittest.mock import patch

from .clock import Clock, OutOfTime
from .measuring import Measured, Training, Turn, drawn_tokens, measured_peak, new_folder, take_turns
from .results import ResultLog
from .scales import FAST, STOCK, Scale
from .stages import describe, give_memory_back

OFF, BATCH = "off", "batch"
RECORDINGS: Mapping[str, dict | None] = {
    OFF: None,
    BATCH: {},
    "batch + probe": {"probe": 1},
    "batch + probe, stride 10": {"probe": 10},
}
# Updates before the first turn, in which memory is allocated and kernels are chosen and compiled. A
# compiled translation model is compiled again when it gets its second length.
WARM_UP = 3
# A cell may take this multiple of its share of the time left, because compiling takes long.
GENEROUS = 2.0


@dataclass(frozen=True)
class Way:
    """One way of making the updates.

    Attributes
    ----------
    name : str
    changes : mapping
        Changed settings of the section `training` of config.yaml.
    one_pass : bool
        Whether the tokens of an update are one micro-batch.
    recordings : tuple of str
        Keys of RECORDINGS.
    cudnn : bool or None
        Whether cuDNN's attention may be used; None leaves it to the code.
    weight : int
        Weight of its share of the time that is left.
    """

    name: str
    changes: Mapping[str, object]
    one_pass: bool = False
    recordings: tuple[str, ...] = (OFF, BATCH)
    cudnn: bool | None = None
    weight: int = 1


STOCK_WAY = Way("stock", STOCK, weight=3)
ONE_PASS = Way("stock in one pass", STOCK, one_pass=True, weight=2)
FAST_WAY = Way("fast", FAST, recordings=tuple(RECORDINGS), weight=4)
COMPILED = Way("fast, compiled", {**FAST, "compile": True}, weight=6)
WITHOUT_CUDNN = Way("stock in one pass, without cuDNN's attention", STOCK, True, (OFF,), False)
WITH_CUDNN = Way("fast, with cuDNN's attention", FAST, False, (OFF,), True)
CELLS = (
    *(("clm", FAST_WAY), ("mlm", FAST_WAY), ("mt", FAST_WAY)),
    *(("clm", COMPILED), ("mlm", COMPILED)),
    *(("clm", ONE_PASS), ("mlm", ONE_PASS), ("mt", ONE_PASS), ("mt", WITHOUT_CUDNN)),
    ("mt", COMPILED),
    *(("clm", STOCK_WAY), ("mlm", STOCK_WAY), ("mt", STOCK_WAY)),
    ("mt", WITH_CUDNN),
)
# Tracing the graphs of a translation model alone takes a CPU a minute.
NOT_REHEARSED = (("mlm", COMPILED), ("mt", COMPILED))


def run(scale: Scale, clock: Clock, log: ResultLog, inputs) -> None:
    """Write a record `speed` for every objective, way and recording."""
    peak = measured_peak(scale.cuda)
    cells = [cell for cell in CELLS if scale.cuda or cell not in NOT_REHEARSED]
    for number, (objective, way) in enumerate(cells):
        weights = [other.weight for _, other in cells[number:]]
        limit = clock.part(GENEROUS * clock.left() * way.weight / sum(weights))
        reason = None
        try:
            with limit.enforced():
                measure(objective, way, scale, limit, log, inputs, peak)
        except OutOfTime:
            reason = "its time was up"
        except Exception as error:
            reason = describe(error)
        if reason:
            log.add("speed", "failed", objective=objective, way=way.name, reason=reason)
        if not give_memory_back(scale):
            raise RuntimeError(f"the device is lost after {objective}, {way.name}")
        clock.check()


def measure(objective, way: Way, scale: Scale, clock: Clock, log, inputs, peak: float) -> None:
    """Measure all recordings of a cell; at the limit of the clock, write the results so far."""
    settings = settings_of(objective, way, scale)
    rows: list[Measured] = []
    try:
        with rehearsed_compiler(scale) if settings["compile"] else nullcontext(), cudnn(way.cudnn):
            for name in way.recordings:
                training = build(objective, way, settings, name, scale, inputs)
                rows.append(Measured(name, training))
                training.run(WARM_UP, clock, clock.left() / (4 * len(way.recordings)))
            length = scale.turn if way.changes is not STOCK else max(1, scale.turn // 5)
            take_turns(rows, length, scale.turns, clock, scale.cuda)
    finally:
        for row in rows:
            row.training.close()
            if row.turns:
                values = numbers(row, rows[0], peak, scale)
                log.add("speed", "speed", objective=objective, way=way.name, **values)


def settings_of(objective: str, way: Way, scale: Scale) -> dict:
    """All settings of the training of a cell."""
    settings = scale.training_of(objective, **way.changes)
    if way.one_pass:
        whole = settings["max_tokens"] * settings["update_frequency"]
        settings |= {"max_tokens": whole, "update_frequency": 1}
    return settings


def build(objective, way: Way, settings, name: str, scale: Scale, inputs) -> Training:
    """The training of a row."""
    estimators = RECORDINGS[name]
    recording = None
    if estimators is not None:
        recording = scale.recording_settings(estimators) | {"details": {}}
    training = Training(
        scale.model(objective),
        settings,
        drawn_tokens(inputs.cache, scale, objective == "mt"),
        new_folder(inputs.cache, "speed", objective, way.name, name),
        scale.device,
        recording,
        scale.data_workers,
    )
    if way.cudnn:
        for module in training.model.modules():
            if hasattr(module, "lengths_change"):
                module.lengths_change = False
    return training


def numbers(row: Measured, off: Measured, peak: float, scale: Scale) -> dict:
    """The numbers of a row of the table."""
    seconds = statistics.median(map(cost_of(scale), row.turns))
    settings = row.training.settings
    found = {
        "lca": row.name,
        "tokens_per_second": statistics.median(turn.tokens for turn in row.turns) / seconds,
        "seconds_per_update": seconds,
        "tokens_per_update": statistics.median(turn.tokens for turn in row.turns),
        "share_of_peak": statistics.median(turn.flops for turn in row.turns) / seconds / peak,
        "max_tokens": settings["max_tokens"],
        "update_frequency": settings["update_frequency"],
        "passes": row.training.task.passes or settings["update_frequency"],
        "updates": sum(turn.updates for turn in row.turns),
        "parameters": row.training.parameters,
    }
    if scale.cuda:
        found["gigabytes"] = row.memory / 1e9
    ratios = sorted(ratios_of(row.turns, off.turns, scale))
    if row is not off and ratios:
        found["ratio"] = statistics.median(ratios)
        found["ratio_lowest"], found["ratio_highest"] = ratios[0], ratios[-1]
    return found


def ratios_of(recorded: list[Turn], off: list[Turn], scale: Scale) -> Iterator[float]:
    """Time of an update with recording over that without, turn by turn."""
    cost = cost_of(scale)
    return (cost(one) / cost(other) for one, other in zip(recorded, off, strict=False))


def cost_of(scale: Scale):
    """Function from a turn to seconds per update: wall time on a GPU, processor time on a CPU."""
    return (lambda turn: turn.seconds) if scale.cuda else (lambda turn: turn.processor)


@contextmanager
def rehearsed_compiler(scale: Scale):
    """On a CPU, run the graphs that PyTorch traces as they are: compiling them takes minutes."""
    import torch

    from losschange_fairseq.fast import cross_entropy

    if scale.cuda:
        yield
        return
    traced = partial(torch.compile, backend="aot_eager")
    try:
        with patch.object(torch, "compile", traced), patch.dict(cross_entropy._COMPILED):
            yield
    finally:
        torch.compiler.reset()


@contextmanager
def cudnn(wanted: bool | None):
    """Allow or forbid cuDNN's attention."""
    import torch

    allowed = torch.backends.cuda.cudnn_sdp_enabled()
    torch.backends.cuda.enable_cudnn_sdp(allowed if wanted is None else wanted)
    try:
        yield
    finally:
        torch.backends.cuda.enable_cudnn_sdp(allowed)
