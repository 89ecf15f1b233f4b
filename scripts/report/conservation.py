"""Compare the sum of the LCA of all parameters with the measured change of the loss (§2.3)."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from losschange.analysis.conservation import CONSERVED, measures_of
from losschange.cube.estimators import TRAIN, VALID, in_order, parse_estimator
from report.inputs import EstimatorSum, Run
from report.table_files import MISSING
from report.values import (
    Grid,
    count,
    listing,
    make_grid,
    nats,
    over_seeds,
    percent,
    quantity,
    ratio,
    ratio_span,
    tiny,
)

PAPER_ESTIMATOR = "batch"
MEANINGS = {
    "batch": "the paper's: gradient of the training batch itself, at the start of the update",
    "fresh": "gradient of a newly drawn batch, at the start of the update",
    "exact": "gradient of the whole text without dropout, at the start of the update",
    "probe": "gradient of fixed training text, trapezoid rule between both ends of an interval",
    "simpson": "gradient of fixed training text, Simpson's rule along an interval",
}
TEXT_NAMES = {VALID: "validation text"}
MEASURE_TITLES = {
    "training_probe": "training probe",
    "validation_probe": "validation probe",
    "validation": "validation loss",
    "training": "training loss",
}
MEASURE_CLAUSES = {
    "training_probe": "the training probe measured",
    "validation_probe": "the validation probe measured",
    "validation": "the validation losses show",
    "training": "the training losses show",
}


def conservation_sentences(run: Run, failed: Sequence[str]) -> list[str]:
    """Sentences on the ratio of each estimator's sum to the measured change, with ``code`` marks.

    Parameters
    ----------
    run : Run
    failed : sequence of str
        Models that did not learn: their loss change is too small to divide by.
    """
    known = _learned(run, failed)
    if not known:
        return ["No model of this run has learned and has a measured loss change to compare with."]
    groups = [[e for e in known if e.reference == measure] for measure in _measures(run)]
    sentences = [_claims(group) for group in groups if group]
    paper = [entry for entry in known if entry.estimator == PAPER_ESTIMATOR]
    over = [entry.model for entry in paper if entry.ratio > CONSERVED[1]]
    if over:
        who = "" if len(over) == len(paper) else f" for {listing(over)}"
        sentences.append(
            f"``{PAPER_ESTIMATOR}`` over-counts{who} because it multiplies each move with the "
            "gradient of the very batch that the move was made for, noise included: read its "
            "values as shares of each other, not as nats of the loss."
        )
    left_out = [model for model in failed if any(e.model == model for e in run.sums)]
    if left_out:
        sentences.append(f"Left out is what did not learn: {listing(left_out)}.")
    return sentences


def _claims(entries: Sequence[EstimatorSum]) -> str:
    """One sentence on estimators whose sums are compared with the same measured change."""
    claims: list[str] = []
    for name in in_order({entry.estimator for entry in entries}):
        ratios = [entry.ratio for entry in entries if entry.estimator == name]
        if not ratios:
            continue
        claim = f"``{name}`` {ratio_span(ratios).replace('×', 'times')}"
        if not claims:
            claim = claim.replace("`` ", "`` claims ", 1)
            claim += f" the loss change that {_measure_clause(entries[0].reference)}"
        if not claims and len(ratios) > 1:
            middle = ratio(statistics.median(ratios))
            claim += f" (median {middle}, over {quantity(len(ratios), 'model')})"
        claims.append(claim)
    return f"{'; '.join(claims)}."


def estimator_table(run: Run, failed: Sequence[str]) -> Grid | None:
    """A row per estimator, over all models that learned; None without summaries."""
    rows, probes = [], has_probes(run)
    for name in _estimators(run):
        entries = [entry for entry in run.sums if entry.estimator == name]
        known = [entry for entry in _learned(run, failed) if entry.estimator == name]
        ratios = [entry.ratio for entry in known]
        inside = sum(CONSERVED[0] <= value <= CONSERVED[1] for value in ratios)
        references = dict.fromkeys(measure_title(entry.reference) for entry in known)
        rows.append(
            [
                name,
                " or ".join(count(stride) for stride in sorted({e.stride for e in entries})),
                listing(list(references)),
                ratio_span(ratios) if ratios else "",
                ratio(statistics.median(ratios)) if ratios else "",
                f"{inside} of {len(ratios)}",
                *(_worst_errors(known) if probes else []),
            ]
        )
    columns = ["estimator", "every … updates", "compared with", "ΣLCA ÷ measured", "median"]
    columns.append("models that add up")
    if probes:
        columns += ["error in total", "largest error of an interval, nats"]
    return make_grid(columns, rows) if rows else None


def has_probes(run: Run) -> bool:
    """Whether a probe was recorded; only then errors are known."""
    return any(parse_estimator(entry.estimator).is_probe for entry in run.sums)


def _worst_errors(entries: Sequence[EstimatorSum]) -> list[str]:
    """Range of the relative errors of whole trainings, and the largest error of an interval."""
    relative, largest = (
        [e.errors[name] for e in entries if math.isfinite(e.errors[name])]
        for name in ("relative_conservation_error", "largest_interval_error")
    )
    if not relative:
        return [MISSING, MISSING]
    least, most = percent(min(relative)), percent(max(relative))
    return [least if least == most else f"{least} to {most}", tiny(max(largest))]


def ratio_table(run: Run) -> Grid | None:
    """A row per model with measured changes and all estimators' ratios; None without sums."""
    estimators = _estimators(run)
    measures = [
        name
        for name in _measures(run)
        if any(math.isfinite(entry.changes.get(name, math.nan)) for entry in run.sums)
    ]
    rows = []
    for model in dict.fromkeys(entry.model for entry in run.sums):
        entries: dict[str, list[EstimatorSum]] = {}
        for entry in run.sums:
            if entry.model == model:
                entries.setdefault(entry.estimator, []).append(entry)
        first = next(iter(entries.values()))  # every estimator has the same changes
        row = [
            model,
            *(
                over_seeds([e.changes.get(name, math.nan) for e in first], _change)
                for name in measures
            ),
        ]
        row += [over_seeds([e.ratio for e in entries.get(name, [])], ratio) for name in estimators]
        rows.append(row)
    columns = ["model", *(measure_title(name) for name in measures), *estimators]
    return make_grid(columns, rows) if rows else None


def detail_tables(run: Run) -> list[tuple[str, Grid]]:
    """Pairs of an estimator and a table of all its numbers, with a row per training."""
    tables, measures = [], _measures(run)
    for name in _estimators(run):
        rows = [
            [
                entry.training,
                nats(entry.total, signed=True),
                *(ratio(entry.ratios.get(measure, math.nan)) for measure in measures),
                outcome(entry),
                *(_errors(entry) if parse_estimator(name).is_probe else []),
            ]
            for entry in run.sums
            if entry.estimator == name
        ]
        columns = [
            "model",
            "ΣLCA",
            *(f"÷ {measure_title(measure)}" for measure in measures),
            "outcome",
        ]
        if parse_estimator(name).is_probe:
            columns += ["error", "relative error", "largest of an interval", "root mean square"]
        tables.append((name, make_grid(columns, rows)))
    return tables


def _errors(entry: EstimatorSum) -> list[str]:
    total, relative, largest, typical = entry.errors.values()
    return [tiny(total, signed=True), percent(relative), tiny(largest), tiny(typical)]


def outcome(entry: EstimatorSum) -> str:
    """One or two words on how a sum compares with its reference change."""
    low, high = CONSERVED
    if not math.isfinite(entry.ratio):
        return "cannot tell"
    if entry.ratio < 0:
        return "wrong direction"
    if entry.ratio < low:
        return "under-counts"
    return "over-counts" if entry.ratio > high else "adds up"


def estimator_meanings(run: Run) -> list[tuple[str, str]]:
    """(estimator, meaning) of the estimators recorded in this run."""
    return [(name, _meaning(name)) for name in _estimators(run)]


def measure_meanings(run: Run) -> list[tuple[str, str]]:
    """(measure, meaning) of the losses that were measured in this run."""
    meanings = measures_of(_estimators(run))
    return [
        (measure_title(name), meanings[name])
        for name in _measures(run)
        if any(math.isfinite(entry.changes.get(name, math.nan)) for entry in run.sums)
    ]


def _learned(run: Run, failed: Sequence[str]) -> list[EstimatorSum]:
    """Sums that can be compared: of models that learned, with a measured change."""
    return [e for e in run.sums if e.model not in failed and math.isfinite(e.ratio)]


def _estimators(run: Run) -> list[str]:
    return in_order({entry.estimator for entry in run.sums})


def _measures(run: Run) -> list[str]:
    """All measures of a run, the most exact first."""
    found = measures_of(_estimators(run))
    return [*MEASURE_TITLES, *(name for name in found if name not in MEASURE_TITLES)]


def _meaning(estimator: str) -> str:
    found = parse_estimator(estimator)
    if found.text == TRAIN:
        return MEANINGS[found.rule]
    text = TEXT_NAMES.get(found.text, f"the text {found.text}")
    return f"as {found.rule}, of {'fixed ' if found.is_probe else ''}{text}"


def measure_title(measure: str) -> str:
    """Name of a measure in tables."""
    return MEASURE_TITLES.get(measure) or f"probe of {measure.removesuffix('_probe')}"


def _measure_clause(measure: str) -> str:
    return MEASURE_CLAUSES.get(measure) or f"the {measure_title(measure)} measured"


def _change(value: float | None) -> str:
    known = value is not None and math.isfinite(value)
    return nats(value, signed=True) if known else MISSING
