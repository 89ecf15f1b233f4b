"""What the explorer knows of a model: the LCA of every cell in a few hundred bins of updates.

A page that is opened from the disk may not read files, but it may load scripts. So the numbers of
a model are a script of their own: one call of a function with a JSON object.
"""

from __future__ import annotations

import base64
import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from losschange.analysis.summaries import SummaryError, summarise_cube
from losschange.cube.estimators import parse_estimator
from losschange.cube.layout import NO_HEAD
from losschange.errors import ExplorerError

# Bins of updates. At the paper's size a cell's bin holds 500 updates.
MOST_BINS = 250
# The function of the page that takes a model's numbers.
CALL = "losschangeModel"


def model_numbers(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a cube once and reduce it to what the explorer shows.

    Parameters
    ----------
    path : path
        An LCA cube.

    Returns
    -------
    dict
        Can be written as JSON. `first` and `last` are the updates of each bin, `cells` the
        (layer, component, head) of each cell, head -1 for none. `values` holds the sums of LCA
        (estimator, cell, bin), nats per target token, as `packed` writes them. `change` of an
        estimator is the measured change of its reference loss in each bin, nats; null where
        nothing was measured.

    Raises
    ------
    ExplorerError
        If the cube holds nothing to show.
    CubeError
        If it is no cube, or a cell of it holds NaN.
    """
    try:
        summary = summarise_cube(path, most_blocks=MOST_BINS)
    except SummaryError as error:
        raise ExplorerError(f"{path} cannot be explored: {error}") from error
    counts = summary["n_parameters"].values
    cells = np.argwhere(counts > 0)
    layers, components, heads = cells.T
    last = summary["block"].values.astype(np.int64)
    edges = np.searchsorted(summary["bin"].values, last, side="right")
    first = summary["bin_first"].values[np.concatenate([[0], edges[:-1]])].astype(np.int64)
    values = summary["block_total"].values[:, :, layers, components, heads]
    return {
        "model": str(summary.attrs.get("model", Path(path).stem)),
        "facts": _facts(summary.attrs),
        "layers": [str(label) for label in summary["label"].values],
        "components": [str(name) for name in summary["component"].values],
        "first": first.tolist(),
        "last": last.tolist(),
        "cells": (cells - [0, 0, NO_HEAD + 1]).tolist(),
        "parameters": counts[layers, components, heads].tolist(),
        "estimators": [
            _estimator(summary.sel(estimator=name), str(name), edges)
            for name in summary["estimator"].values
        ],
        "values": packed(values.transpose(0, 2, 1)),
    }


def write_model(path: str | os.PathLike[str], name: str, script: Path) -> None:
    """Write the script that gives the page the numbers of a cube.

    Parameters
    ----------
    path : path
        An LCA cube.
    name : str
        What the page calls the model.
    script : path
        Replaced when complete.

    Raises
    ------
    ExplorerError, CubeError
        See `model_numbers`.
    """
    text = json.dumps(model_numbers(path), separators=(",", ":"), allow_nan=False)
    write_text(script, f"{CALL}({json.dumps(name)},{text});\n")


def write_text(path: Path, text: str) -> None:
    """Write a file that appears under its name only when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def packed(values: np.ndarray) -> str:
    """Numbers as text: float32, bytes of equal weight side by side, deflated, in base 64.

    The order of the bytes is that of HDF5's filter `shuffle`: numbers of one size have alike first
    bytes, which takes less space.
    """
    whole = np.ascontiguousarray(values, dtype="<f4").reshape(-1)
    shuffled = whole.view(np.uint8).reshape(-1, 4).T.tobytes()
    return base64.b64encode(zlib.compress(shuffled, 9)).decode("ascii")


def _facts(attributes: Mapping[str, Any]) -> dict[str, str]:
    """What a reader wants to know of a training, by name."""
    names = ("objective", "source_language", "target_language", "corpus", "architecture", "seed")
    return {name: str(attributes[name]) for name in names if name in attributes}


def _estimator(one: xr.Dataset, name: str, edges: np.ndarray) -> dict[str, Any]:
    """What is known of an estimator beside its cells.

    Parameters
    ----------
    one : Dataset
        The summary of this estimator.
    name : str
    edges : int array (bins,)
        Ends of the explorer's bins among the bins of the summary.
    """
    starts = np.concatenate([[0], edges[:-1]])
    estimator = parse_estimator(name)
    change = np.add.reduceat(one["binned_change"].values, starts)
    reference = str(one["reference"].values)
    return {
        "name": name,
        "rule": estimator.rule,
        "text": estimator.text,
        "about": estimator.description,
        "intervals": estimator.is_probe,
        "stride": int(one["stride"]),
        "reference": None if reference == "none" else reference,
        "records": np.add.reduceat(one["binned_records"].values, starts).tolist(),
        "change": [float(value) if np.isfinite(value) else None for value in change],
    }
