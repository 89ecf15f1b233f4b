"""Table NS: the sum of the paper's estimator in its three parts, of every training."""

from __future__ import annotations

import numpy as np
import xarray as xr

from losschange.analysis.noise import PARTS
from report.table_files import MISSING, Table
from studies.noise.records import Records, interval, over_count, read_records, share, total

COLUMNS = ("model", "optimizer", "targets per update", "sum of batch", "batch ÷ measured")


def sums_table(records: Records) -> Table:
    """A row per training: sums, shares of the parts, and the noise scale of the whole model."""
    rows, notes = [], []
    for name, record in records.trainings.items():
        row = [name, _optimizer(record), f"{float(record['targets'][0]):.0f}"]
        row += [_number(total(record, "batch")), _number(over_count(record))]
        row += [_number(100 * share(record, part)) for part in PARTS]
        rows.append([*row, _scale(record)])
        if record.attrs["cannot_tell"]:
            notes.append(f"{name}: {record.attrs['cannot_tell']}")
    columns = [*COLUMNS, *(f"{part}, %" for part in PARTS), "noise scale"]
    notes += [
        "Brackets: 95 % intervals by resampling training; they say nothing of other seeds. The sum "
        "of batch is in nats per target token. The noise scale is the number of target tokens of a "
        "batch whose gradient has as much noise as signal.",
        *_assumptions(records),
    ]
    return Table("What the paper's estimator measures", columns, rows, notes)


def _optimizer(record: xr.Dataset) -> str:
    momentum = float(record.attrs["momentum"])
    if record.attrs["optimizer"] == "adam":
        return f"adam, β₁ {momentum:g}"
    return f"sgd, momentum {momentum:g}" if momentum else "sgd"


def _number(values: np.ndarray) -> str:
    return _with_bounds(*interval(values))


def _scale(record: xr.Dataset) -> str:
    if "scale" not in record:
        return MISSING
    ends = (float(record[f"scale{ending}"][0]) for ending in ("", "_low", "_high"))
    return _with_bounds(*ends)


def _with_bounds(value: float, low: float, high: float) -> str:
    if np.isnan(value):
        return MISSING
    texts = [f"{number:.3g}".replace("-", "−") for number in (value, low, high)]
    return texts[0] if np.isnan(low) else f"{texts[0]} [{texts[1]}, {texts[2]}]"


def _assumptions(records: Records) -> list[str]:
    found = {
        str(record.attrs["optimizer"]): str(record.attrs["assumption"])
        for record in records.trainings.values()
        if "assumption" in record.attrs
    }
    return [f"Noise scale under {name}: {sentence}" for name, sentence in found.items()]


def fill(inputs, options) -> Table:
    """The table of a run."""
    return sums_table(read_records(inputs["records"], options["vocabulary"]))
