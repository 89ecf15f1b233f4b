"""Load a trained model from its checkpoint, or from a snapshot of its training."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from fairseq import checkpoint_utils

import losschange_fairseq  # noqa: F401  (the checkpoints name its tasks)
from common.files import UserError

from .snapshots import read_snapshot

torch.serialization.add_safe_globals([argparse.Namespace])

# A model that was trained with the fast layers is loaded with fairseq's own layers: parameters and
# their names are the same, and only fairseq's own layers give attention weights and states.
STOCK_LAYERS = {"fast_layers": False, "compile_layers": False}


def load_model(
    checkpoint: Path, data: Path, snapshot: Path | None = None
) -> tuple[Any, Any, Any, int | None]:
    """Load a model with fairseq's own layers, in float32, on the CPU.

    Parameters
    ----------
    checkpoint : path
    data : path
        Folder of token ids.
    snapshot : path, optional
        Its weights replace those of the checkpoint.

    Returns
    -------
    model, configuration, task : of fairseq
    update : int or None
        Number of updates made before the snapshot; None without snapshot.

    Raises
    ------
    UserError
        See load_snapshot.
    """
    models, cfg, task = checkpoint_utils.load_model_ensemble_and_task(
        [str(checkpoint)], arg_overrides={"data": str(data), **STOCK_LAYERS}
    )
    model = models[0].float()
    update = None if snapshot is None else load_snapshot(model, snapshot)
    return model, cfg, task, update


def restore_weights(model: torch.nn.Module, checkpoint: Path) -> None:
    """Put the weights of a model's own checkpoint back, after further training.

    The file is memory-mapped, so that the weights do not need memory twice.
    """
    found = torch.load(checkpoint, map_location="cpu", mmap=True, weights_only=True)
    model.load_state_dict(found["model"])


def load_snapshot(model: torch.nn.Module, path: Path) -> int:
    """Load the weights of a snapshot into a model; return the updates made before the snapshot.

    Raises
    ------
    UserError
        If the file is no snapshot, or holds other weights than the model's.
    """
    try:
        update, weights = read_snapshot(path)
    except ValueError as error:
        raise UserError(str(error)) from error
    own = model.state_dict()
    problem = _difference(
        {name: tuple(tensor.shape) for name, tensor in own.items()},
        {name: tuple(tensor.shape) for name, tensor in weights.items()},
    )
    if problem:
        raise UserError(
            f"{path} is a snapshot of another model: {problem}. Take a snapshot of the training "
            "that made the checkpoint."
        )
    model.load_state_dict(weights)
    return update


def _difference(
    model: Mapping[str, tuple[int, ...]], snapshot: Mapping[str, tuple[int, ...]]
) -> str:
    """The first difference between the shapes of two sets of weights, in words."""
    for name in sorted(model.keys() | snapshot.keys()):
        if name not in snapshot:
            return f"it lacks {name}"
        if name not in model:
            return f"it has {name}, which the model has not"
        if model[name] != snapshot[name]:
            return f"its {name} is {snapshot[name]}, the model's {model[name]}"
    return ""
