"""Checks of the recorder. An error names the estimator, or the update and the cell or parameter."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from losschange.cube.estimators import EstimatorError, parse_estimator
from losschange.cube.format import SERIES
from losschange.cube.parts import Records
from losschange.cube.word_bins import WordBins
from losschange.errors import RecordingError

from .partition import Partition, Schema
from .shards import Shards

CHOSEN_DETAILS = ("positive", "helped", "vocabulary")


def check_kinds(
    model: object, schema: object, estimators: object, losses: Mapping[str, Mapping[str, object]]
) -> None:
    """Raise RecordingError if an argument of `attach` is of another kind than it takes.

    Parameters
    ----------
    model, schema, estimators
        As they were given.
    losses : mapping of argument ("probes", "fresh") to mapping of text to loss
    """
    if not isinstance(model, nn.Module):
        raise RecordingError(f"the model is of type {type(model).__name__}; give a torch.nn.Module")
    if schema is not None and not isinstance(schema, Schema):
        raise RecordingError(
            f"the schema is of type {type(schema).__name__}; give a Schema, such as that of "
            "schema_for(model), or None for that one"
        )
    if isinstance(estimators, str):
        raise RecordingError(
            f"estimators is the text {estimators!r}; give a list of names, such as "
            f"[{estimators!r}], or a mapping of names to updates between two records"
        )
    if isinstance(estimators, Mapping) and estimators.get("batch", 1) != 1:
        raise RecordingError(
            f"the stride of the estimator 'batch' is {estimators['batch']!r}, but it is recorded "
            "at every update; give 1, or leave it out"
        )
    for argument, functions in losses.items():
        for text, function in functions.items():
            if not callable(function):
                raise RecordingError(
                    f"{argument}[{text!r}] is of type {type(function).__name__}; give a function "
                    "of the model that returns its loss on the text"
                )


def check_estimators(
    strides: Mapping[str, int],
    probes: Sequence[str],
    fresh: Sequence[str],
    details: Mapping[str, Sequence[str]],
) -> None:
    """Raise RecordingError unless the estimators asked for can be recorded.

    Parameters
    ----------
    strides : mapping of estimator to int
    probes, fresh : sequence of str
        Texts of which there is a probe, and of which there are fresh batches.
    details : mapping of estimator to sequence of str
    """
    for name in [*strides, *details]:
        try:
            parse_estimator(name)
        except EstimatorError as error:
            raise RecordingError(str(error)) from None
    for name, stride in strides.items():
        if not isinstance(stride, int | np.integer) or stride < 1:
            raise RecordingError(
                f"the stride of the estimator {name!r} is {stride!r}; it must be a number of "
                "updates, 1 or more"
            )
        estimator = parse_estimator(name)
        if estimator.needs_probe and estimator.text not in probes:
            raise RecordingError(f"the estimator {name!r} needs a probe of {estimator.text} text")
        if estimator.rule == "fresh" and estimator.text not in fresh:
            raise RecordingError(
                f"the estimator {name!r} needs a function that draws fresh batches of "
                f"{estimator.text} text"
            )
    for name, found in details.items():
        for detail in found:
            if detail not in CHOSEN_DETAILS:
                raise RecordingError(
                    f"unknown detail of {name!r} {detail!r}; allowed: {', '.join(CHOSEN_DETAILS)}"
                )


def check_word_bins(
    partition: Partition, details: Mapping[str, Sequence[str]], word_bins: WordBins | None
) -> None:
    """Raise RecordingError unless the words of "vocabulary" are the rows of matrices."""
    if not any("vocabulary" in names for names in details.values()):
        return
    if word_bins is None:
        raise RecordingError('the detail "vocabulary" needs word_bins, the words by frequency')
    words = len(word_bins.bin_of_word)
    shapes = dict(zip(partition.names, partition.shapes, strict=True))
    for name in word_bins.matrices:
        shape = shapes.get(name)
        if shape is None or len(shape) != 2 or shape[0] != words:
            found = "is not trained" if shape is None else f"has shape {shape}"
            raise RecordingError(
                f"the words by frequency are rows of {name!r}, which {found}; expected a matrix "
                f"of {words} rows"
            )


def check_attributes(attributes: Mapping[str, object]) -> None:
    """Raise RecordingError unless global attributes of a cube are texts or numbers."""
    for name, value in attributes.items():
        numbers = value.dtype.kind in "iuf" if isinstance(value, np.ndarray | np.generic) else None
        if isinstance(value, list | tuple):
            numbers = bool(value) and all(type(one) in (int, float) for one in value)
        if numbers is None:
            numbers = isinstance(value, str) or type(value) in (int, float)
        if not isinstance(name, str) or not name or not numbers:
            raise RecordingError(
                f"the attribute {name!r} is {value!r}, of type {type(value).__name__}; a cube "
                "keeps texts and numbers: give str(...) of it, or leave it out"
            )
        if name in ("Conventions", "cube_format"):
            raise RecordingError(f"the attribute {name!r} is the cube's own; use another name")


def check_series(series: Mapping[str, object]) -> dict[str, float | Tensor]:
    """Copies of the numbers of an update.

    The loop may change its tensors later, such as running sums; records must not change.

    Raises
    ------
    RecordingError
        If a name is not in losschange.cube.format.SERIES or a value is not one number.
    """
    copies: dict[str, float | Tensor] = {}
    for name, value in series.items():
        _refuse_unknown("series", name, SERIES)
        if isinstance(value, Tensor):
            if value.numel() != 1:
                raise RecordingError(
                    f"the series {name!r} was given a tensor of shape {tuple(value.shape)}; "
                    "it takes one number per update"
                )
            copies[name] = value.detach().clone()
            continue
        try:
            copies[name] = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise RecordingError(
                f"the series {name!r} was given {value!r}; it takes one number per update"
            ) from None
    return copies


def check_quadrature(quadrature: str, tolerance: float | None) -> float | str | None:
    """The tolerance for ProbeIntegrator; RecordingError if the arguments are invalid."""
    _refuse_unknown("quadrature", quadrature, ("adaptive", "fixed"))
    if tolerance is None:
        return "adaptive" if quadrature == "adaptive" else None
    if quadrature == "fixed":
        raise RecordingError('simpson_tolerance needs quadrature="adaptive"')
    if not tolerance > 0:
        raise RecordingError(f"simpson_tolerance is {tolerance!r}; it must be above 0 nats")
    return float(tolerance)


def check_shared(
    shards: Shards, word_bins: WordBins | None, state: Mapping[str, Mapping[str, Any]]
) -> None:
    """Raise RecordingError for what cannot be recorded, or resumed, in several processes."""
    if word_bins is not None:
        raise RecordingError(
            "words by frequency cannot be recorded of a model divided by fully_shard, whose "
            "processes have some rows each; leave word_bins out"
        )
    place = [shards.rank, shards.processes]
    found = (state.get("run") or {}).get("process", place)
    if found != place:
        raise RecordingError(
            f"the state is that of process {found[0]} of {found[1]}, but this is process "
            f"{place[0]} of {place[1]}; resume with as many processes, each with its own state"
        )


def check_finite(records: Mapping[str, Records], partition: Partition) -> None:
    """Raise RecordingError if a record holds a value that is not finite, naming update and cell.

    Parameters
    ----------
    records : mapping of estimator to Records
        The earliest update is named, and of several estimators the first.
    partition : Partition
    """
    wrong = {}
    for estimator, found in records.items():
        for record, cell in np.argwhere(~np.isfinite(found.values))[:1]:
            wrong[estimator] = (int(found.steps[record]), found.values[record, cell], cell)
    if wrong:
        estimator = min(wrong, key=lambda name: wrong[name][0])
        update, value, cell = wrong[estimator]
        raise RecordingError(
            f"update {update}: the loss change of {_where(partition, cell)} under {estimator!r} is "
            f"{value}; the gradient or the step was not finite. "
            "Lower the learning rate, or train in float32"
        )


def _where(partition: Partition, cell: int) -> str:
    """A cell in words, such as "dec.3 key head 2"."""
    found = partition.layout.cells[cell]
    head = "" if found.head is None else f" head {found.head}"
    return f"{partition.layout.labels[found.layer]} {found.component}{head}"


def check_gradients(partition: Partition, gradients: Sequence[Tensor | None], update: int) -> None:
    """Raise RecordingError unless there is a gradient, or None, of each parameter's shape."""
    if len(gradients) != len(partition.shapes):
        raise RecordingError(
            f"update {update}: {len(gradients)} gradients of {len(partition.shapes)} parameters"
        )
    for name, expected, gradient in zip(partition.names, partition.shapes, gradients, strict=True):
        if gradient is not None and gradient.shape != expected:
            raise RecordingError(
                f"update {update}: the gradient of {name!r} has shape {tuple(gradient.shape)}, "
                f"expected {expected}"
            )


def check_shapes(partition: Partition, shapes: Sequence[tuple[int, ...]], update: int) -> None:
    """Raise RecordingError unless the parameters handed over are those of the partition."""
    if len(shapes) != len(partition.shapes):
        raise RecordingError(
            f"update {update}: {len(shapes)} parameters, but the recorder was made for "
            f"{len(partition.shapes)}; make a new recorder when parameters come or go"
        )
    for name, expected, found in zip(partition.names, partition.shapes, shapes, strict=True):
        if expected != found:
            raise RecordingError(
                f"update {update}: {name!r} has shape {found}, expected {expected}"
            )


def _refuse_unknown(what: str, name: str, allowed: Collection[str]) -> None:
    if name not in allowed:
        raise RecordingError(f"unknown {what} {name!r}; allowed: {', '.join(allowed)}")
