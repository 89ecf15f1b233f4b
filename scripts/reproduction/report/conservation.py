"""Does the LCA of all parameters add up to the change of the loss that was measured (§2.3)?"""

from __future__ import annotations

import math

from reproduction.report.inputs import EstimatorSum, Run
from reproduction.report.values import Grid, listing, make_grid, nats, ratio

# a ratio inside counts as conserved
CONSERVED = (0.95, 1.05)
PAPER_ESTIMATOR = "batch"
MEANINGS = {
    "batch": "the paper's: gradient of the training batch itself, at the start of the update",
    "fresh": "gradient of a newly drawn batch, at the start of the update",
    "probe": "gradient of a fixed batch, trapezoid rule between both ends of the update",
    "simpson": "gradient of a fixed batch, Simpson's rule along the update",
}


def conservation_table(run: Run) -> Grid | None:
    """ΣLCA beside the measured change, per model and estimator; None without summaries."""
    rows = []
    for entry in run.sums:
        row = [entry.model, entry.estimator, nats(entry.total, signed=True)]
        for measure in ("training", "validation"):
            change = entry.changes.get(measure, math.nan)
            row.append(nats(None if math.isnan(change) else change, signed=True))
            row.append(ratio(entry.ratios.get(measure, math.nan)))
        rows.append([*row, outcome(entry)])
    columns = ["model", "estimator", "ΣLCA", "change of training loss", "ratio"]
    columns += ["change of valid loss", "ratio", "outcome"]
    return make_grid(columns, rows) if rows else None


def outcome(entry: EstimatorSum) -> str:
    """One word or two for what the ratios say, together."""
    ratios = _known_ratios(entry)
    if not ratios:
        return "cannot tell"
    found = {_word(value) for value in ratios}
    return found.pop() if len(found) == 1 else "depends on the loss"


def _known_ratios(entry: EstimatorSum) -> list[float]:
    return [value for value in entry.ratios.values() if math.isfinite(value)]


def _word(value: float) -> str:
    low, high = CONSERVED
    if value < 0:
        return "wrong direction"
    if value < low:
        return "under-counts"
    return "over-counts" if value > high else "adds up"


def conservation_sentence(run: Run) -> str:
    """What the table means for this run."""
    entries = [entry for entry in run.sums if entry.estimator == PAPER_ESTIMATOR]
    ratios = [value for entry in entries for value in _known_ratios(entry)]
    if not ratios:
        return "No summary of this run has the paper's estimator beside a measured loss change."
    span = " to ".join(dict.fromkeys([ratio(min(ratios)), ratio(max(ratios))]))
    over = [entry.model for entry in entries if outcome(entry) == "over-counts"]
    if len(over) == len(entries):
        return (
            f"The paper's estimator over-counts: what it allocates is {span} the change of the "
            "loss that was measured, because it multiplies each move with the gradient of the very "
            "batch that the move was made for, noise included. Read its values as shares of each "
            "other, not as nats of the loss."
        )
    if over:
        return (
            f"The paper's estimator over-counts for {listing(over)}; over all models its sum is "
            f"{span} the measured change. Where it does, read its values as shares, not as nats."
        )
    return f"The sum by the paper's estimator is {span} the change of the loss that was measured."


def estimator_meanings(run: Run) -> list[tuple[str, str]]:
    """(estimator, meaning) of those recorded in this run."""
    present = dict.fromkeys(entry.estimator for entry in run.sums)
    return [(name, MEANINGS.get(name, "")) for name in present]
