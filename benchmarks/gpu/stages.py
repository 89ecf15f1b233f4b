"""The stages in order of importance, and how one process runs them."""

from __future__ import annotations

import logging
import os
import time
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from .clock import Clock, OutOfTime
from .measuring import drawn_tokens
from .results import BEGUN, ENDED, ResultLog
from .scales import Scale

# With a budget of this number of seconds the stages have the limits below; else in proportion.
WHOLE = 540
# Seconds of each stage, the last one has what is left.
LIMITS = {"card": 20, "speed": 150, "equivalence": 120, "paper_size": None}
# Exit status of a process that can no longer use the device.
BROKEN_DEVICE = 3
# Modules that an update or a cube imports at its first use, which takes seconds on a cold disk.
IMPORTED = (
    *("torch._dynamo", "losschange_fairseq.building", "training.run"),
    *("losschange.analysis.summaries", "running.configuration_check"),
)
# Seconds left at which no further stage is begun.
LEAST = 5


class Inputs(NamedTuple):
    """The folders that the stages read and write.

    Attributes
    ----------
    out : path
        Folder of the results.
    cache : path
        Folder of compiled code, drawn text and unfinished trainings, which are no results.
    tokens : path or None
        Token ids as the workflow makes them: results/<run>/tokens.
    """

    out: Path
    cache: Path
    tokens: Path | None


def run_stages(
    names: Sequence[str],
    scale: Scale,
    whole: Clock,
    budget: float,
    inputs: Inputs,
    allow: Callable[[float], None] = lambda seconds: None,
) -> None:
    """Run stages one after another; an error in one is recorded, and the next one is run.

    Parameters
    ----------
    names : sequence of str
        Keys of LIMITS.
    scale : Scale
    whole : Clock
        Limit of all stages.
    budget : float
        Seconds that all stages have.
    inputs : Inputs
    allow : callable (seconds)
        Called with the limit of every stage when it begins.
    """
    log = ResultLog(inputs.out)
    prepare(log, scale, inputs)
    for name in names:
        share = LIMITS[name]
        limit = whole.part(float("inf") if share is None else share * budget / WHOLE)
        if whole.left() < min(LEAST, budget / 10):
            log.add(name, BEGUN, limit=0.0)
            log.add(name, ENDED, seconds=0.0, reason="no time was left")
            continue
        log.add(name, BEGUN, limit=limit.left())
        allow(limit.left())
        start, reason = time.monotonic(), None
        try:
            stage = import_module(f".{name}", __package__)
            with limit.enforced():
                stage.run(scale, limit, log, inputs)
        except OutOfTime:
            reason = "its time was up"
        except Exception as error:
            reason = describe(error)
            traceback.print_exc()
        usable = give_memory_back(scale)
        log.add(name, ENDED, seconds=time.monotonic() - start, reason=reason)
        if not usable:
            os._exit(BROKEN_DEVICE)


def prepare(log: ResultLog, scale: Scale, inputs: Inputs) -> None:
    """Import modules and write text that all stages need, and record the seconds of this."""
    for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):
        os.environ[name] = str(inputs.cache / name.partition("_")[0].lower())
    start = time.monotonic()
    import torch

    for name in IMPORTED:
        import_module(name)
    for name in LIMITS:
        import_module(f".{name}", __package__)
    if scale.cuda:
        torch.zeros(1, device="cuda")
    else:
        torch.set_num_threads(1)
    # fairseq and hydra set other levels when they are imported.
    logging.getLogger().setLevel(logging.WARNING)
    log.add("start", "imports", seconds=time.monotonic() - start)
    start = time.monotonic()
    for pair in (False, True):
        drawn_tokens(inputs.cache, scale, pair)
    log.add("start", "drawn text", seconds=time.monotonic() - start)


def give_memory_back(scale: Scale) -> bool:
    """Free what a stage left on the device; False if the device no longer answers."""
    import gc

    import torch

    gc.collect()
    if scale.cuda:
        try:
            torch.cuda.synchronize()
            torch.cuda.empty_cache()
        except RuntimeError:
            return False
    return True


def describe(error: BaseException) -> str:
    """An error in one line."""
    text = (str(error) or repr(error)).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else ''}"[:300]
