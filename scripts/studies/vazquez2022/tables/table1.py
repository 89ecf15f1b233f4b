"""Table 1: parameters that hurt, as the paper prints them and as this run measured them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from losschange.analysis.profiles import ProfileError
from losschange.analysis.streaming import READINGS
from report.table_files import MISSING, Table, number_text
from studies.vazquez2022.paper_values import (
    LARGEST_POSITIVE,
    LAST_POSITIVE_STEP,
    OBJECTIVES,
    POSITIVE_COUNTS,
)

# Apart from the paper's rows, because its key ... out may or may not include cross-attention.
CROSS_ATTENTION = ("cross_key", "cross_query", "cross_value", "cross_out")
ROW_NAMES = {"embedding": "emb."}
READING_NAMES = {
    "per_token": "per token",
    "summed": "summed over tokens",
    "scaled": "per token × loss scale",
    "summed_scaled": "summed over tokens × loss scale",
}


def positive_table(summaries: Sequence[xr.Dataset], estimator: str) -> Table:
    """Table 1 for the summaries in the order given, the paper's numbers beside each.

    Raises
    ------
    ProfileError
        If a model was not recorded with the estimator.
    """
    chosen = [_of_estimator(summary, estimator) for summary in summaries]
    columns = [""]
    for summary in summaries:
        objective = str(summary.attrs["objective"]).upper()
        columns += [f"{objective} paper", f"{objective} here ({summary.attrs['model']})"]
    components = list(POSITIVE_COUNTS)
    components += [c for c in CROSS_ATTENTION if any(_count(s, c) != MISSING for s in chosen)]
    rows = [
        [ROW_NAMES.get(name, name.replace("_", " ")), *_counts(chosen, name)] for name in components
    ]
    rows.append(["last step with positive", *_last_steps(chosen)])
    rows += [[f"overall max., {READING_NAMES[r]}", *_largest(chosen, r)] for r in READINGS]
    return Table(
        title=f"Parameters that hurt the training process (estimator: {estimator})",
        columns=columns,
        rows=rows,
        notes=_notes(chosen),
    )


def _of_estimator(summary: xr.Dataset, estimator: str) -> xr.Dataset:
    known = [str(name) for name in summary["estimator"].values]
    if estimator not in known:
        raise ProfileError(
            f"model {summary.attrs.get('model')} was not recorded with the estimator "
            f"{estimator!r}; recorded: {', '.join(known)}"
        )
    return summary.sel(estimator=estimator)


def _of_paper(summary: xr.Dataset, printed: Sequence) -> str:
    objective = summary.attrs["objective"]
    return str(printed[OBJECTIVES.index(objective)]) if objective in OBJECTIVES else MISSING


def _count(summary: xr.Dataset, component: str) -> str:
    return number_text(float(summary["component_positive_count"].sel(component=component)))


def _counts(summaries: Sequence[xr.Dataset], component: str) -> list[str]:
    entries = []
    for summary in summaries:
        printed = POSITIVE_COUNTS.get(component)
        entries += [_of_paper(summary, printed) if printed else MISSING, _count(summary, component)]
    return entries


def _last_steps(summaries: Sequence[xr.Dataset]) -> list[str]:
    entries = []
    for summary in summaries:
        steps = summary["component_last_positive_step"].sel(component=list(POSITIVE_COUNTS))
        last = float(steps.max())
        entries.append(_of_paper(summary, LAST_POSITIVE_STEP))
        entries.append(f"{int(last)} of {summary.attrs['steps']}" if last > 0 else "never")
    return entries


def _largest(summaries: Sequence[xr.Dataset], reading: str) -> list[str]:
    """The largest value with its component, layer and step, in one reading of the unit."""
    entries = []
    for summary in summaries:
        cell = summary.sel(reading=reading, component=list(POSITIVE_COUNTS))
        values = cell["component_largest_positive"].values
        entries.append(_of_paper(summary, LARGEST_POSITIVE))
        if np.isnan(values).all():
            entries.append("not recorded")
            continue
        where = int(np.nanargmax(values))
        if values[where] <= 0:
            entries.append("never")
            continue
        layer = int(cell["component_largest_positive_layer"].values[where])
        step = int(cell["component_largest_positive_step"].values[where])
        name = str(cell["component"].values[where])
        # the embedding's layer is called embedding too
        place = ", ".join(dict.fromkeys([name, str(summary["label"].values[layer])]))
        entries.append(f"{number_text(values[where])} ({place}, step {step})")
    return entries


def _notes(summaries: Sequence[xr.Dataset]) -> list[str]:
    notes = [
        "Counted are cells of one layer and one recorded step whose LCA, summed over heads, is "
        "positive; last step and overall max. are over the paper's seven components.",
        "The paper does not say in which unit its maximum is. The mean over tokens is at most the "
        "whole loss (ln 32000 = 10.4 nats), so 68.18 and 95 must be another reading: the same "
        "printed number stands beside each candidate.",
        "The paper does not say whether MT's key ... out include cross-attention; here they are "
        "self-attention only, cross-attention has rows of its own.",
    ]
    for summary in summaries:
        if float(summary["stride"]) > 1:
            notes.append(
                f"{summary.attrs['model']}: one record in {int(summary['stride'])} updates, so "
                "counts are smaller than those of every update."
            )
    return notes


def fill(inputs, options) -> Table:
    """The table of a run."""
    return positive_table(inputs["summaries"], options["estimator"])
