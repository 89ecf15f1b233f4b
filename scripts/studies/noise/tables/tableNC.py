"""Table NC: the study's claims N-a to N-f with their numbers and verdicts."""

from __future__ import annotations

import numpy as np

from losschange.claims import Claim, Condition, Part
from report.table_files import MISSING, Table
from studies.noise.claims import CLAIMS
from studies.noise.judging import judge
from studies.noise.laws import ASSUMPTIONS, PAPER
from studies.noise.records import Records, read_records

COLUMNS = ("claim", "statement", "verdict", "number", "criterion", "of", "value", "interval")


def claims_table(records: Records) -> Table:
    """A row per claim, condition and training that it is measured of."""
    rows: list[list[str]] = []
    reasons = []
    for claim in (CLAIMS[number] for number in sorted(CLAIMS, key=str)):
        result = judge(claim, records)
        reasons.append(f"{claim.number}: {result.verdict}; {result.reason}.")
        for place, (condition, part) in enumerate(zip(claim.conditions, result.parts)):
            rows += _rows(claim, condition, part, result.verdict if place == 0 else "")
    notes = [
        *reasons,
        "A claim holds if the whole 95 % interval of each number meets its criterion in every "
        "training, does not hold if one misses it as a whole, and else cannot be told. Intervals "
        "come from resampling training and say nothing of other seeds.",
        "N-a is an identity if the recording is right. N-f is extrapolated to "
        f"{PAPER.tokens:,} tokens and {PAPER.updates:,} updates, taking for granted that "
        f"{'; '.join(ASSUMPTIONS)}. Its interval does not contain the error of these assumptions.",
    ]
    return Table("The study's claims", list(COLUMNS), rows, notes)


def _rows(claim: Claim, condition: Condition, part: Part, verdict: str) -> list[list[str]]:
    about = [str(claim.number), claim.statement, verdict, condition.name, _criterion(condition)]
    again = [str(claim.number), "", "", condition.name, _criterion(condition)]
    if not part.models:
        return [[*about, *[MISSING] * 3]]
    return [
        [*(about if place == 0 else again), name, *_texts(numbers)]
        for place, (name, numbers) in enumerate(part.models.items())
    ]


def _criterion(condition: Condition) -> str:
    return condition.text().replace("-", "−")


def _texts(numbers: tuple[float, float, float]) -> list[str]:
    value, low, high = (f"{number:.3g}".replace("-", "−") for number in numbers)
    known = [not np.isnan(number) for number in numbers]
    return [value if known[0] else MISSING, f"[{low}, {high}]" if known[1] else MISSING]


def fill(inputs, options) -> Table:
    """The table of a run."""
    return claims_table(read_records(inputs["records"], options["vocabulary"]))
