"""From the parts of a finished training to its cube."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from .estimators import parse_estimator
from .format import (
    SERIES,
    STEPS_PER_CHUNK,
    detail_variable,
    details_of,
    estimators_of,
    layout_of,
    open_cube,
    rates_of,
    steps_of,
)
from .layout import CubeError, layout_difference
from .parts import PartStore, read_records
from .word_bins import bins_of
from .writer import CubeWriter


def assemble_cube(
    store: PartStore,
    path: str | os.PathLike[str],
    updates: int,
    attributes: Mapping[str, object],
    start: int = 0,
) -> None:
    """Join the parts of a finished training into its cube, in one streaming pass.

    The bytes of the cube depend on its values alone, not on how they were split into parts.

    Parameters
    ----------
    store : PartStore
    path : path
        Final name of the cube, put in place when complete.
    updates : int
        Number of updates of the whole training.
    attributes : mapping
        Global attributes of the cube. Added to them: the conservation error of every probe
        estimator over the whole training, nats, as `<estimator>_total_error`.
    start : int
        Updates made before the first that the parts hold.

    Raises
    ------
    CubeError
        If updates are missing or parts do not have the same cells.
    """
    store.check_complete(updates, start)
    parts = [part for _, _, part in store.parts()]
    if not parts:
        raise CubeError(
            f"{store.folder} holds no part; there is nothing to assemble, because no step of an "
            "optimizer was recorded"
        )
    valid_losses: list[tuple[int, float]] = []
    with open_cube(parts[0]) as first:
        layout, estimators, word_bins = layout_of(first), estimators_of(first), bins_of(first)
        details = {name: details_of(first, name) for name in estimators}
    steps: dict[str, list[np.ndarray]] = {name: [] for name in estimators}
    numbers: list[np.ndarray] = []
    rates: dict[str, None] = {}  # in the order in which they appear
    errors: dict[str, list[np.ndarray]] = {
        name: [] for name in estimators if parse_estimator(name).is_probe
    }
    for part in parts:
        with open_cube(part) as cube:
            difference = layout_difference(layout, layout_of(cube))
            if difference or estimators_of(cube) != estimators:
                raise CubeError(
                    f"{part} does not go with {parts[0]}: "
                    + (difference or f"it holds the estimators {', '.join(estimators_of(cube))}")
                )
            numbers.append(cube["step"].values.astype(np.int64))
            rates |= dict.fromkeys(rates_of(cube))
            for name in estimators:
                steps[name].append(steps_of(cube, name))
            for name, found in errors.items():
                found.append(cube[detail_variable("error", name)].values)
            valid_losses += zip(
                cube["valid_step"].values.tolist(), cube["valid_loss"].values.tolist(), strict=True
            )
    with CubeWriter(
        path,
        layout,
        np.concatenate(numbers),
        # Summed as one array: parts that end elsewhere must not round differently.
        {**attributes}
        | {f"{name}_total_error": np.concatenate(found).sum() for name, found in errors.items()},
        {"batch": None} | {name: np.concatenate(found) for name, found in steps.items()},
        valid_losses,
        details,
        word_bins,
        list(rates),
    ) as writer:
        # Whole chunks only: a chunk compressed twice would make the bytes depend on the parts.
        buffers = {"": _ChunkBuffer(lambda start, rows: writer.write(start, rows))}
        for name in estimators:
            buffers[name] = _ChunkBuffer(partial(_write_records, writer, name))
        for part in parts:
            with open_cube(part) as cube:
                unknown = np.full(cube.sizes["step"], np.nan, dtype=np.float32)
                held = {n: cube[n].values if n in cube else unknown for n in (*SERIES, *rates)}
                buffers[""].add(held)
                for name in estimators:
                    records = read_records(cube, layout, name)
                    buffers[name].add({"": records.values, **records.details})
        for buffer in buffers.values():
            buffer.flush()


def _write_records(
    writer: CubeWriter, estimator: str, start: int, rows: dict[str, np.ndarray]
) -> None:
    writer.write(start, values={estimator: rows[""]})
    writer.write_details(start, estimator, {name: row for name, row in rows.items() if name})


class _ChunkBuffer:
    """Collects rows of one axis and hands them on in runs of exactly one chunk."""

    def __init__(self, write: Callable[[int, dict[str, np.ndarray]], None]):
        self._write_rows = write
        self.written = 0
        self.rows: dict[str, np.ndarray] = {}

    def add(self, rows: Mapping[str, np.ndarray]) -> None:
        for name, new in rows.items():
            held = self.rows
            held[name] = np.concatenate([held[name], new]) if name in held else new
        while len(next(iter(self.rows.values()))) >= STEPS_PER_CHUNK:
            self._write(STEPS_PER_CHUNK)

    def flush(self) -> None:
        count = len(next(iter(self.rows.values())))
        if count:
            self._write(count)

    def _write(self, count: int) -> None:
        self._write_rows(self.written, {name: rows[:count] for name, rows in self.rows.items()})
        self.written += count
        self.rows = {name: rows[count:] for name, rows in self.rows.items()}
