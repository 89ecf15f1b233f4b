"""First stage: the card, and whether an update with LCA works on it.

A few updates of every objective are made in the configured precision with batch, probe and simpson.
They show whether the sums of LCA equal the measured change of the probe's loss, and whether
recording waits for the device. Then the memory of recording is measured, in copies of the
parameters.
"""

from __future__ import annotations

import gc
import importlib.metadata as metadata
import platform
import warnings
from contextlib import contextmanager

from .clock import Clock
from .measuring import Training, drawn_tokens, measured_peak, new_folder
from .results import ResultLog
from .scales import FAST, MODELS, PROBES, Scale

# A step that changes the loss by far more than rounding does; the paper's first is 1e-7.
VISIBLE = {"learning_rate": 1e-4, "warmup_updates": 1}
STRIDE, UPDATES = 2, 6
RECORDINGS = {
    "off": None,
    "batch": {},
    "all": dict.fromkeys(("fresh", *PROBES), 1),
}


def run(scale: Scale, clock: Clock, log: ResultLog, inputs) -> None:
    """Write the records `card`, `first updates` per objective and `memory`."""
    log.add("card", "card", **description(scale))
    for objective in MODELS:
        log.add(
            "card", "first updates", objective=objective, **first(objective, scale, clock, inputs)
        )
    held = {name: device_memory(name, scale, clock, inputs) for name in RECORDINGS}
    if scale.cuda:
        copy = held["off"]["copy"]
        for name in ("batch", "all"):
            more = {key: (held[name][key] - held["off"][key]) / copy for key in ("held", "peak")}
            log.add(
                "card", "memory", recorded=name, copies=more["held"], copies_at_peak=more["peak"]
            )
    log.add("card", "peak", flops=measured_peak(scale.cuda))


def description(scale: Scale) -> dict:
    """The card and the versions of what runs on it."""
    import torch

    found = {
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in ("torch", "fairseq-fixed", "numpy")},
    }
    if not scale.cuda:
        return {"card": "a CPU", "threads": torch.get_num_threads(), **found}
    card = torch.cuda.get_device_properties(0)
    return {
        "card": card.name,
        "gigabytes": card.total_memory / 1e9,
        "capability": f"{card.major}.{card.minor}",
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        **found,
    }


def first(objective: str, scale: Scale, clock: Clock, inputs) -> dict:
    """The first updates of an objective: losses, conservation, and waits for the device."""
    import numpy as np

    strides = {"probe": STRIDE, "simpson": STRIDE}
    training = _training(objective, scale, inputs, "first", strides)
    losses, waits = [], []
    for _ in range(UPDATES):
        clock.check()
        with counted_waits(training, scale.cuda) as found:
            losses.append(training.update()[1])
        waits.append(len(found))
    overflows = losses.count(None)
    training.finish()
    kept = training.task.recorder.updates
    values = {
        "precision": training.settings["precision"] if scale.cuda else "fp32",
        "losses": losses,
        "overflows": overflows,
        "recorded": kept,
    }
    for name in strides:
        records = recorded(training, name)
        change = np.sum(records.details["loss"] - records.details["loss_before"])
        values[f"{name}_over_change"] = float(records.values.sum() / change)
    if scale.cuda and not overflows:
        # The first update also begins the first interval.
        probed = [wait for number, wait in enumerate(waits[1:], 2) if number % STRIDE == 0]
        plain = [wait for number, wait in enumerate(waits[1:], 2) if number % STRIDE]
        values |= {"waits_batch": max(plain), "waits_probe": max(probed)}
    training.close()
    return values


def recorded(training: Training, estimator: str):
    """All records of an estimator that a training has written."""
    from losschange.cube.format import open_cube
    from losschange.cube.parts import PartStore, join_records, read_records

    layout, found = training.task.recorder.partition.layout, []
    for _, _, path in PartStore(training.parts).parts():
        with open_cube(path) as cube:
            found.append(read_records(cube, layout, estimator))
    return join_records(found)


@contextmanager
def counted_waits(training: Training, cuda: bool):
    """Warnings, one for every time the host waits for the device while an update is recorded.

    Only calls of the recorder are watched: fairseq's own update waits for the check of overflow.
    """
    found: list = []
    recorder = training.task.recorder
    if not cuda or recorder is None:
        yield found
        return
    names = ("before_update", "after_update", "describe_update")
    for name in names:
        setattr(recorder, name, _watched(getattr(recorder, name), found))
    try:
        yield found
    finally:
        for name in names:
            delattr(recorder, name)


def _watched(function, found: list):
    import torch

    def watched(*arguments, **options):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                return function(*arguments, **options)
            finally:
                torch.cuda.set_sync_debug_mode("default")
                found.extend(one for one in told if "called a synchronizing" in str(one.message))

    return watched


def device_memory(name: str, scale: Scale, clock: Clock, inputs) -> dict:
    """Bytes that a causal model's training holds between updates, and the peak.

    `copy` is the size of one float32 copy of the parameters.
    """
    import torch

    gc.collect()
    before = torch.cuda.memory_allocated() if scale.cuda else 0
    training = _training("clm", scale, inputs, f"memory-{name}", RECORDINGS[name])
    training.run(1, clock)
    if scale.cuda:
        torch.cuda.reset_peak_memory_stats()
    training.run(1, clock)
    found = {"copy": 4 * training.parameters, "held": 0, "peak": 0}
    if scale.cuda:
        found["held"] = torch.cuda.memory_allocated() - before
        found["peak"] = torch.cuda.max_memory_allocated() - before
    training.close()
    return found


def _training(objective: str, scale: Scale, inputs, name: str, estimators) -> Training:
    settings = scale.training_of(objective, **FAST, **VISIBLE)
    recording = None if estimators is None else scale.recording_settings(estimators)
    return Training(
        scale.model(objective),
        settings,
        drawn_tokens(inputs.cache, scale, objective == "mt"),
        new_folder(inputs.cache, "card", objective, name),
        scale.device,
        recording,
    )
