"""Table I: every intervention, what it was predicted to cost, and what it cost."""

from __future__ import annotations

from losschange.cube.estimators import in_order
from report.claims.record import as_float
from report.claims.tables import value_text
from report.table_files import MISSING, Table, read_record

from ..study import RECORD_KEYS

NAMES = {"train": "training", "valid": "validation"}


def measured_text(measured: list | None) -> str:
    """A value with its interval."""
    if measured is None or measured[0] is None:
        return MISSING
    value, low, high = measured
    text = value_text(value)
    return text if low is None else f"{text} [{value_text(low)}, {value_text(high)}]"


def interventions_table(record: dict) -> Table:
    """A row per training with frozen cells."""
    estimators = in_order({name for point in record["points"] for name in point["predicted"]})
    texts = [t for t in NAMES if any(t in point["costs"] for point in record["points"])]
    columns = ["training", "intervention", "from update", "cells", "parameters"]
    columns += [f"predicted, {name}" for name in estimators]
    columns += [f"cost, {NAMES[text]} probe" for text in texts]
    rows = []
    for point in record["points"]:
        row = [point["training"], point["name"], str(point["from_update"]), str(point["cells"])]
        row.append(f"{100 * as_float(point['share']):.1f} %")
        row += [value_text(point["predicted"].get(name)) for name in estimators]
        row += [measured_text(point["costs"].get(text)) for text in texts]
        rows.append(row)
    notes = [
        "Predicted: −ΣLCA of the frozen cells after that update, nats per token. Cost: loss of the "
        "frozen model less that of its parent at the end of training, on the same probe, with a "
        f"95 % interval from {record['draws']} resamplings of the probe's rows.",
        "Other parameters can take over what frozen ones would have done, so costs are expected "
        "below predictions.",
    ]
    for one in record["spread"]:
        found = [f"{NAMES[t]} {value_text(v)}" for t, v in one["spread"].items() if v is not None]
        if found:
            notes.append(
                f"{one['model']}: standard deviation between random choices of as many "
                f"parameters, nats: {', '.join(found)}. A smaller difference is no order."
            )
    return Table("What freezing cells costs", columns, rows, notes)


def fill(inputs, options) -> Table:
    """The table of a run."""
    return interventions_table(read_record(inputs["record"][0], RECORD_KEYS))
