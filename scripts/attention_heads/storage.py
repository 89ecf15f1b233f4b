"""Files of what was found: one NetCDF file per model, and one per pruning."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from .errors import HeadsError

if TYPE_CHECKING:
    from .gates import Pruning

HEADS_FORMAT, GATES_FORMAT = "attention-heads-1", "attention-gates-1"
HEAD_AXES = ("snapshot", "attention", "layer", "head")
SENTENCE_AXES = ("sentence", "attention", "layer", "head")

# Variables of every snapshot: further axes, unit, meaning.
VARIABLES: Mapping[str, tuple[tuple[str, ...], str, str]] = {
    "confidence": ((), "1", "mean over queries of the largest attention weight"),
    "adjusted_confidence": ((), "1", "confidence between uniform attention (0) and one key (1)"),
    "relevance": ((), "1", "share of the layer's relevance, gradient x activation"),
    "alpha_beta_relevance": ((), "1", "share of the layer's relevance, alpha-beta rule"),
    "ablation": ((), "nats", "rise of the loss per target token without the head"),
    "importance": ((), "1", "mean absolute derivative of the loss, of norm 1 in a layer"),
    "signed_importance": ((), "nats", "derivative of the loss with respect to the head's gate"),
    "weight_norm": ((), "1", "Euclidean norm of the head's query, key, value and out weights"),
    "positional": (("offset",), "1", "share of queries that look at the offset"),
    "rare": (("rarest",), "1", "share of queries that look at the rarest, at the two rarest"),
    "syntactic": (("relation", "direction"), "1", "share of relations that the head follows"),
}
# Variables of the last snapshot, sentence by sentence, for resampling.
BY_SENTENCE: Mapping[str, tuple[str, str]] = {
    "confidence_by_sentence": ("1", "mean over the sentence's queries of the largest weight"),
    "relevance_by_sentence": ("1", "share of the layer's relevance for one prediction"),
    "importance_by_sentence": ("nats", "derivative of the sentence's mean loss"),
    "ablation_by_sentence": ("nats", "rise of the sentence's mean loss without the head"),
}


def make_heads_dataset(
    snapshots: Sequence[int],
    shapes: Mapping[str, tuple[int, int]],
    variables: Mapping[str, Sequence[Mapping[str, np.ndarray]]],
    by_sentence: Mapping[str, Mapping[str, np.ndarray]],
    targets: np.ndarray,
    coordinates: Mapping[str, Sequence[object]] | None = None,
    attributes: Mapping[str, str | int | float] | None = None,
) -> xr.Dataset:
    """Put measures into one dataset.

    Parameters
    ----------
    snapshots : sequence of int
        Number of updates at each snapshot, ascending.
    shapes : mapping of attention name to (layers, heads)
    variables : mapping of a name in VARIABLES to, for every snapshot, a mapping of attention name
        to array (layers, heads, ...)
        Missing attentions become NaN.
    by_sentence : mapping of a name in BY_SENTENCE to mapping of attention name to array
        (sentences, layers, heads)
        Rounded to float16.
    targets : int array (sentences,)
        Target tokens of every sentence.
    coordinates : mapping of a further axis to its labels
    attributes : mapping

    Raises
    ------
    HeadsError
        If a name is unknown, a shape does not fit, or a value leaves the range of float16.
    """
    sizes = np.array(list(shapes.values()))
    grid = (len(shapes), *sizes.max(0))
    dataset = xr.Dataset(
        {"targets": ("sentence", np.asarray(targets, dtype=np.int32), {"units": "1"})},
        {
            "snapshot": ("snapshot", list(snapshots), {"long_name": "updates before the snapshot"}),
            "attention": list(shapes),
            "layer": np.arange(1, grid[1] + 1),
            "head": np.arange(grid[2]),
            **(coordinates or {}),
        },
        {"format": HEADS_FORMAT, **(attributes or {})},
    )
    for name, found in variables.items():
        axes, units, meaning = _about(name, VARIABLES)
        if len(found) != len(snapshots):
            raise HeadsError(f"{name}: {len(found)} snapshots, expected {len(snapshots)}")
        values = np.stack([_on_grid(name, each, shapes, grid, 0) for each in found])
        about = {"units": units, "long_name": meaning}
        dataset[name] = ((*HEAD_AXES, *axes), values.astype(np.float32), about)
    for name, each in by_sentence.items():
        units, meaning = _about(name, BY_SENTENCE)
        values = np.moveaxis(_on_grid(name, each, shapes, grid, 1), 0, 1)
        about = {"units": units, "long_name": meaning}
        dataset[name] = (SENTENCE_AXES, _to_half(name, values), about)
    return dataset


def write_heads(path: str | os.PathLike[str], dataset: xr.Dataset) -> None:
    """Write a dataset of make_heads_dataset; the file appears when it is complete.

    NetCDF knows no float16. Such numbers are stored as float32, whose empty half is compressed
    away.
    """
    encoding = {
        str(name): {"zlib": True, "shuffle": True, "complevel": 4}
        for name, each in dataset.data_vars.items()
        if each.dtype.kind == "f"
    }
    stored = dataset.map(lambda x: x.astype(np.float32) if x.dtype == np.float16 else x)
    stored.attrs = dataset.attrs
    _write(Path(path), lambda target: stored.to_netcdf(target, encoding=encoding))


def open_heads(path: str | os.PathLike[str]) -> xr.Dataset:
    """Open a file of write_heads.

    Raises
    ------
    HeadsError
        If the file is none.
    """
    return _open(Path(path), HEADS_FORMAT)


def write_gates(
    path: str | os.PathLike[str],
    pruning: Pruning,
    attributes: Mapping[str, str | int | float],
    scores: Mapping[str, tuple[str | tuple[str, ...], np.ndarray]] | None = None,
) -> None:
    """Write a pruning; the file appears when it is complete.

    Parameters
    ----------
    path : path
    pruning : Pruning
    attributes : mapping
        Such as the losses of the full and of the pruned model.
    scores : mapping of a further variable to its axes and values
        Such as the loss of the pruned model on every sentence.
    """
    shapes = {name: each.shape for name, each in pruning.log_alpha.items()}
    sizes = np.array(list(shapes.values()))
    grid = (len(shapes), *sizes.max(0))

    def array(values: Mapping[str, np.ndarray], meaning: str) -> tuple[Any, ...]:
        return HEAD_AXES[1:], _on_grid(meaning, values, shapes, grid, 0), {"long_name": meaning}

    dataset = xr.Dataset(
        {
            "log_alpha": array(pruning.log_alpha, "log-odds of the gate"),
            "kept": array(pruning.kept, "1 where the head is kept, 0 where it is pruned"),
            "undecided": array(pruning.undecided, "1 where the gate is neither open nor closed"),
            "loss": ("update", pruning.losses, {"units": "nats"}),
            "open_heads": ("update", pruning.open_heads, {"units": "1"}),
            **(scores or {}),
        },
        {
            "attention": list(shapes),
            "layer": np.arange(1, grid[1] + 1),
            "head": np.arange(grid[2]),
            "update": np.arange(1, len(pruning.losses) + 1),
        },
        {
            "format": GATES_FORMAT,
            "price": pruning.price,
            "price_units": "nats per target token and head",
            "control_arm": int(pruning.price == 0),
            "not_converged": pruning.reason or "",
            **attributes,
        },
    )
    _write(Path(path), dataset.to_netcdf)


def open_gates_file(path: str | os.PathLike[str]) -> xr.Dataset:
    """Open a file of write_gates.

    Raises
    ------
    HeadsError
        If the file is none.
    """
    return _open(Path(path), GATES_FORMAT)


def _about(name: str, known: Mapping[str, tuple[Any, ...]]) -> tuple[Any, ...]:
    if name not in known:
        raise HeadsError(f"unknown variable {name!r}; known are {', '.join(known)}")
    return known[name]


def _on_grid(
    name: str,
    values: Mapping[str, np.ndarray],
    shapes: Mapping[str, tuple[int, int]],
    grid: tuple[int, ...],
    before: int,
) -> np.ndarray:
    """Arrays of several attentions as one (attentions, ..., layers, heads, ...), NaN elsewhere."""
    example = np.asarray(next(iter(values.values())))
    front, back = example.shape[:before], example.shape[before + 2 :]
    result = np.full((grid[0], *front, *grid[1:], *back), np.nan)
    for number, (attention, shape) in enumerate(shapes.items()):
        if attention not in values:
            continue
        found, expected = np.asarray(values[attention]), (*front, *shape, *back)
        if found.shape != expected:
            raise HeadsError(f"{name} of {attention}: shape {found.shape}, expected {expected}")
        result[number][(slice(None),) * before + (slice(shape[0]), slice(shape[1]))] = found
    return result


def _to_half(name: str, values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    if np.isinf(half).any():
        raise HeadsError(f"{name}: values up to {np.nanmax(np.abs(values)):.3g} exceed float16")
    return half


def _write(path: Path, write: Callable[[Path], object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _open(path: Path, wanted: str) -> xr.Dataset:
    try:
        dataset = xr.open_dataset(path)
    except (OSError, ValueError) as error:
        raise HeadsError(f"{path} cannot be opened: {error}") from error
    found = dataset.attrs.get("format")
    if found != wanted:
        dataset.close()
        raise HeadsError(f"{path}: its format is {found!r}, expected {wanted!r}; make it again")
    return dataset
