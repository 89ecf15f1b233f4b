"""Table 1: counts of positive LCA, as printed in the paper and as measured in this run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from losschange.analysis.profiles import ProfileError
from losschange.analysis.streaming import UNIT_CONVENTIONS
from report.table_files import MISSING, Table, number_text
from studies.vazquez2022.paper_values import (
    LARGEST_POSITIVE,
    LAST_POSITIVE_STEP,
    OBJECTIVES,
    POSITIVE_COUNTS,
)

# These have rows of their own, because the paper does not say whether its rows "key" to "out"
# include cross-attention.
CROSS_ATTENTION = ("cross_key", "cross_query", "cross_value", "cross_out")
ROW_NAMES = {"embedding": "emb."}
# Trainings of one model.
Family = Sequence[xr.Dataset]
CONVENTION_NAMES = {
    "per_token": "per token",
    "summed": "summed over tokens",
    "scaled": "per token × loss scale",
    "summed_scaled": "summed over tokens × loss scale",
}


def positive_table(summaries: Sequence[xr.Dataset], estimator: str) -> Table:
    """Table 1 for the given models, with the paper's numbers beside each.

    Parameters
    ----------
    summaries : sequence of Dataset
        Trainings of one model with several seeds share a column: their mean, and their range in
        brackets.
    estimator : str

    Raises
    ------
    ProfileError
        If a model was not recorded with the estimator.
    """
    families: dict[str, list[xr.Dataset]] = {}
    for summary in summaries:
        model = str(summary.attrs["model"])
        families.setdefault(model, []).append(_of_estimator(summary, estimator))
    chosen = list(families.values())
    columns = [""]
    for model, family in families.items():
        objective = str(family[0].attrs["objective"]).upper()
        columns += [f"{objective} paper", f"{objective} here ({model})"]
    components = list(POSITIVE_COUNTS)
    components += [c for c in CROSS_ATTENTION if any(_count(f, c) != MISSING for f in chosen)]
    rows = [
        [ROW_NAMES.get(name, name.replace("_", " ")), *_counts(chosen, name)] for name in components
    ]
    rows.append(["last step with positive", *_last_steps(chosen)])
    rows += [
        [f"overall max., {CONVENTION_NAMES[r]}", *_largest(chosen, r)] for r in UNIT_CONVENTIONS
    ]
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


def _of_paper(family: Family, printed: Sequence) -> str:
    objective = family[0].attrs["objective"]
    return str(printed[OBJECTIVES.index(objective)]) if objective in OBJECTIVES else MISSING


def _mean_and_range(values: Sequence[float]) -> str:
    """A single value unchanged; of several values the mean, and the range in brackets."""
    mean = number_text(float(np.mean(values)))
    if len(values) == 1 or mean == MISSING:
        return mean
    return f"{mean} ({number_text(min(values))}–{number_text(max(values))})"


def _count(family: Family, component: str) -> str:
    counts = [float(s["component_positive_count"].sel(component=component)) for s in family]
    return _mean_and_range(counts)


def _counts(families: Sequence[Family], component: str) -> list[str]:
    entries = []
    for family in families:
        printed = POSITIVE_COUNTS.get(component)
        entries += [_of_paper(family, printed) if printed else MISSING, _count(family, component)]
    return entries


def _last_steps(families: Sequence[Family]) -> list[str]:
    entries = []
    for family in families:
        steps = [
            float(s["component_last_positive_step"].sel(component=list(POSITIVE_COUNTS)).max())
            for s in family
        ]
        entries.append(_of_paper(family, LAST_POSITIVE_STEP))
        ever = f"{_mean_and_range(steps)} of {family[0].attrs['steps']}"
        entries.append(ever if max(steps) > 0 else "never")
    return entries


def _largest(families: Sequence[Family], convention: str) -> list[str]:
    """The largest value in one unit; for a single training also its component, layer and step."""
    entries = []
    for family in families:
        cells = [s.sel(unit_convention=convention, component=list(POSITIVE_COUNTS)) for s in family]
        values = [np.nan_to_num(c["component_largest_positive"].values, nan=-1) for c in cells]
        entries.append(_of_paper(family, LARGEST_POSITIVE))
        largest = [float(found.max()) for found in values]
        if min(largest) < 0:
            entries.append("not recorded")
        elif max(largest) <= 0:
            entries.append("never")
        elif len(family) > 1:
            entries.append(_mean_and_range(largest))
        else:
            place = _place(family[0], cells[0], int(values[0].argmax()))
            entries.append(f"{number_text(largest[0])} ({place})")
    return entries


def _place(summary: xr.Dataset, cell: xr.Dataset, where: int) -> str:
    layer = int(cell["component_largest_positive_layer"].values[where])
    step = int(cell["component_largest_positive_step"].values[where])
    name = str(cell["component"].values[where])
    # The layer of the embedding has the name of the component: give it once.
    place = ", ".join(dict.fromkeys([name, str(summary["label"].values[layer])]))
    return f"{place}, step {step}"


def _notes(families: Sequence[Family]) -> list[str]:
    notes = [
        "Counted are cells of one layer and one recorded step whose LCA, summed over heads, is "
        "positive; last step and overall max. are over the paper's seven components.",
        "The paper does not say in which unit its maximum is. The mean over tokens is at most the "
        "whole loss (ln 32000 = 10.4 nats), so 68.18 and 95 must be in another unit: the same "
        "printed number stands beside each candidate.",
        "The paper does not say whether MT's key ... out include cross-attention; here they are "
        "self-attention only, cross-attention has rows of its own.",
    ]
    if any(len(family) > 1 for family in families):
        notes.append("Of several trainings with other seeds: the mean, and the range in brackets.")
    for summary in (family[0] for family in families):
        if float(summary["stride"]) > 1:
            notes.append(
                f"{summary.attrs['model']}: one record in {int(summary['stride'])} updates, so "
                "counts are smaller than those of every update."
            )
    return notes


def fill(inputs, options) -> Table:
    """The table of a run."""
    return positive_table(inputs["summaries"], options["estimator"])
