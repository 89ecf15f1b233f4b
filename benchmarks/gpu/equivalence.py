"""Third stage: do half precision and the faster ways find the same contributions?

For every objective the same model is trained on the same batches without dropout: by stock fairseq
in single precision, the reference; in fp16 and in bf16 by the faster ways; by the faster ways in
single precision, so that only rounding differs; and in fp16 with another seed, which shows how
similar two trainings are that share neither weights nor batches. Each is compared with the
reference by Pearson's correlation of the LCA of layers and components, summed over the updates.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path

from .clock import Clock, OutOfTime
from .measuring import Training, drawn_tokens, new_folder
from .results import ResultLog
from .scales import FAST, MODELS, STOCK, Scale
from .stages import describe, give_memory_back

REFERENCE = "stock, fp32"
# Settings and seed of each training.
TRAININGS = {
    REFERENCE: ({**STOCK, "precision": "fp32"}, 1),
    "fast, fp16": ({**FAST, "precision": "fp16"}, 1),
    "fast, bf16": ({**FAST, "precision": "bf16"}, 1),
    "fast, fp16, other seed": ({**FAST, "precision": "fp16"}, 2),
    "fast, fp32": ({**FAST, "precision": "fp32"}, 1),
}
# Share of an objective's time that the reference may take.
REFERENCE_SHARE = 0.4


def run(scale: Scale, clock: Clock, log: ResultLog, inputs) -> None:
    """Write a record `profile` for every objective and training beside the reference."""
    for number, objective in enumerate(MODELS):
        limit = clock.part(clock.left() / (len(MODELS) - number))
        try:
            with limit.enforced():
                compare(objective, scale, limit, log, inputs)
        except OutOfTime:
            log.add("equivalence", "failed", objective=objective, reason="its time was up")
        except Exception as error:
            log.add("equivalence", "failed", objective=objective, reason=describe(error))
        if not give_memory_back(scale):
            raise RuntimeError(f"the device is lost after {objective}")
        clock.check()


def compare(objective: str, scale: Scale, clock: Clock, log: ResultLog, inputs) -> None:
    """Train an objective's models and write the correlations of their profiles."""
    try:
        compare_first_updates(objective, scale, log, inputs)
    except Exception as error:
        values = {"objective": objective, "way": "first update", "reason": describe(error)}
        log.add("equivalence", "failed", **values)
    wanted = scale.equivalence["total_updates"]
    start = time.monotonic()
    losses, reference = train(
        objective, REFERENCE, wanted, scale, clock.part(REFERENCE_SHARE * clock.left()), inputs
    )
    log.add(
        "equivalence", "reference", objective=objective, updates=len(losses), loss=losses[-1],
        seconds=time.monotonic() - start,
    )  # fmt: skip
    for name in itertools.islice(TRAININGS, 1, None):
        start = time.monotonic()
        own, profile = train(objective, name, len(losses), scale, clock, inputs)
        if len(own) < len(losses):
            raise OutOfTime
        pairs = [(a, b) for a, b in zip(losses, own, strict=True) if b is not None]
        log.add(
            "equivalence",
            "profile",
            objective=objective,
            training=name,
            updates=len(own),
            overflows=own.count(None),
            loss=own[-1],
            largest_difference=max(abs(a - b) for a, b in pairs),
            correlations=correlations(reference, profile),
            seconds=time.monotonic() - start,
        )


def compare_first_updates(objective: str, scale: Scale, log: ResultLog, inputs) -> None:
    """Write the distance of the faster ways from stock fairseq in the first update.

    With a published distance, trainings on such a card need no comparison of their own. It is also
    stored on this machine, for the trainings of the last stage.
    """
    from running.agreements import remember_distance
    from training.fairseq_arguments import fairseq_arguments
    from training.faster_ways import circumstances_of, compare_ways

    training = scale.training_of(objective, **FAST)
    arguments = partial(
        fairseq_arguments,
        scale.model(objective),
        data=drawn_tokens(inputs.cache, scale, objective == "mt"),
        seed=1,
        device=scale.device,
    )
    distance = compare_ways(training, arguments, inputs.cache)
    found = circumstances_of(objective, training, scale.device)
    log.add("equivalence", "agreement", **asdict(found), **asdict(distance))
    if scale.cuda:
        remember_distance(found, distance)


def train(
    objective: str, name: str, updates: int, scale: Scale, clock: Clock, inputs
) -> tuple[list[float | None], object]:
    """Losses of the updates and the profile; fewer updates if the time is over before."""
    changes, seed = TRAININGS[name]
    training = Training(
        scale.model(objective),
        scale.training_of(objective, **{**scale.equivalence, **changes, "dropout": 0.0}),
        drawn_tokens(inputs.cache, scale, objective == "mt"),
        new_folder(inputs.cache, "equivalence", objective, name),
        scale.device,
        scale.recording_settings({}) | {"details": {}},
        scale.data_workers,
        seed,
    )
    losses: list[float | None] = []
    while len(losses) < updates and (not losses or clock.left() > 0):
        losses.append(training.update()[1])
    training.finish()
    profile = profile_of(training.parts)
    training.close()
    give_memory_back(scale)
    return losses, profile


def profile_of(folder: Path):
    """LCA of a training, summed over its updates and heads: layer x component."""
    from losschange.cube.format import open_cube
    from losschange.cube.parts import PartStore

    total = 0
    for _, _, path in PartStore(folder).parts():
        with open_cube(path) as cube:
            total = total + cube["lca"].sum(("step", "head"), min_count=1).load()
    return total


def correlations(one, other) -> dict[str, float]:
    """Pearson's correlation of two profiles over the layers, of every component and of all.

    Components that fewer than three layers have are left out.
    """
    import numpy as np

    columns = {"all": (one.values.ravel(), other.values.ravel())}
    for name in one["component"].values.tolist():
        pair = one.sel(component=name).values, other.sel(component=name).values
        if np.isfinite(pair[0]).sum() > 2:
            columns[str(name)] = pair
    found = {}
    for name, (a, b) in columns.items():
        there = np.isfinite(a)
        found[name] = float(np.corrcoef(a[there], b[there])[0, 1])
    return found
