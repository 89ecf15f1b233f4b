"""Whether the faster ways of training agree with stock fairseq on this kind of device.

Stock means without any faster way. If running/agreements.csv has no measurement for the kind of
device, the first update is made twice without dropout: stock, and as configured. If the two differ
by more than rounding, the training runs stock. This is done once per kind of device and version of
the code.
"""

from __future__ import annotations

import gc
import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from common.files import UserError, replace_when_complete
from losschange_fairseq.checkpoints import CheckpointFolder
from losschange_fairseq.first_update import first_update
from running.agreements import (
    ROUNDING,
    Circumstances,
    Distance,
    code_of_faster_ways,
    published_source,
    remember_distance,
    remembered_distance,
)
from running.models import Model

from .devices import kind_of_device

# Stock fairseq, in the settings of a training.
STOCK = {
    **dict.fromkeys(("fast_layers", "fast_cross_entropy", "fast_optimizer", "fast_masking"), False),
    "compile": False,
    "micro_batches": "stock",
}
# Without dropout, whose masks the faster ways draw in another order; and with a learning rate that
# is not zero at the first update.
COMPARED = {
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "learning_rate_schedule": "polynomial_decay",
    "warmup_updates": 0,
}


@dataclass(frozen=True)
class Ways:
    """How a training is run: as configured, or stock.

    Parameters
    ----------
    stock : bool
        Whether it runs stock although faster ways are configured.
    said : str
        Why, for the log, Table 2 and the cube.
    device : str
        The kind of device that this was decided for.
    """

    stock: bool
    said: str
    device: str


def run_settings(training: Mapping[str, object], stock: bool) -> dict[str, object]:
    """The settings of a training; if `stock`, without the faster ways."""
    return {**training, **(STOCK if stock else {})}


def decide_ways(
    model: Model,
    training: Mapping[str, object],
    device: str,
    state: Path,
    arguments: Callable[[Mapping[str, object]], list[str]],
) -> Ways:
    """Whether a training may run in the ways that its settings ask for.

    Parameters
    ----------
    model : Model
    training : mapping
        Fields of running.configuration.Training.
    device : {"cpu", "cuda"}
    state : path
        The state folder of the training, where the decision is kept: a training that is resumed
        goes on as it began.
    arguments : callable
        Arguments of fairseq-train for settings like `training`, for one process.

    Raises
    ------
    UserError
        If an unfinished training began in the faster ways and they differ on this device.
    """
    if all(training[name] == value for name, value in STOCK.items()):
        return Ways(False, "none", device)
    place, kind = state / "faster_ways.json", kind_of_device(device)
    kept = Ways(**json.loads(place.read_text())) if place.is_file() else None
    if kept is not None and (kept.stock or kept.device == kind):
        return kept
    found = _look(model, training, device, arguments, state)
    if found.stock:
        print(f"{model.name}: the faster ways are {found.said}", file=sys.stderr)
        if CheckpointFolder(state / "checkpoints").newest() is not None:
            raise UserError(
                f"{model.name}: {state} holds an unfinished training in the faster ways, which are "
                f"{found.said}. Finish it on a device of the kind that it began on, or remove the "
                "folder to start again"
            )
    with replace_when_complete(place) as temporary:
        temporary.write_text(json.dumps(asdict(found), indent=1) + "\n")
    return found


def circumstances_of(objective: str, training: Mapping[str, object], device: str) -> Circumstances:
    """The circumstances of a training on this machine: a comparison is valid only for the same.

    Parameters
    ----------
    objective : str
        A name of `objectives.OBJECTIVES`.
    training, device : as of `decide_ways`
    """
    return Circumstances(
        kind_of_device(device),
        objective,
        "fp32" if device == "cpu" else str(training["precision"]),
        json.dumps(training["compile"]),
        torch.__version__.partition("+")[0],
        code_of_faster_ways(),
    )


def compare_ways(
    training: Mapping[str, object],
    arguments: Callable[[Mapping[str, object]], list[str]],
    folder: Path | None = None,
) -> Distance:
    """The distance of the configured ways from stock fairseq in the first update.

    Parameters
    ----------
    training, arguments : as of `decide_ways`
    folder : path, optional
        Where a temporary folder is made for the two records.
    """
    compared = {**training, **COMPARED}
    with tempfile.TemporaryDirectory(dir=folder, prefix="compared-") as name:
        stock = first_update(arguments({**compared, **STOCK}), Path(name) / "stock")
        _free_memory()
        fast = first_update(arguments(compared), Path(name) / "fast")
    _free_memory()
    if training["compile"]:
        # The training cannot use layers that were compiled without dropout.
        torch.compiler.reset()
    return Distance(*stock.distance(fast))


def _look(model, training, device, arguments, state) -> Ways:
    circumstances = circumstances_of(model.objective, training, device)
    kind, precision = circumstances.device, circumstances.precision
    source = published_source(circumstances)
    if source is not None:
        return Ways(False, f"agree with stock fairseq: {source}", kind)
    distance = remembered_distance(circumstances)
    if distance is None:
        print(f"{model.name}: comparing the faster ways with stock fairseq", file=sys.stderr)
        distance = compare_ways(training, arguments, state)
        try:
            remember_distance(circumstances, distance)
        except (OSError, UserError) as error:
            print(f"{model.name}: the comparison will be repeated: {error}", file=sys.stderr)
    if distance.is_rounding(precision):
        return Ways(False, f"agree with stock fairseq on this device: {distance}", kind)
    said = f"switched off: they differ from stock fairseq, {distance}; rounding is at most "
    return Ways(True, f"{said}{ROUNDING[precision]:g}", kind)


def _free_memory() -> None:
    """Free the memory of a comparison: the number of passes is later chosen by free memory."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
