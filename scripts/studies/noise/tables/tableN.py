"""Table N: the paper's claims on its estimator, on the measured part and on the noise part."""

from __future__ import annotations

from collections.abc import Sequence

from losschange.claims import FAILS, HOLDS, UNKNOWN
from report.table_files import Table, read_record
from studies.noise.paper_claims import NOISE, PARTS

COLUMNS = {"batch": "batch", "measured": "measured part", NOISE: "noise part"}


def parts_table(claims: Sequence[dict]) -> Table:
    """A row per claim: verdict, deciding number and interval of every part."""
    rows = []
    for claim in claims:
        entries = [_entry(claim["results"][part]) for part in PARTS]
        rows.append([str(claim["number"]), claim["statement"], *entries])
    columns = ["claim", "statement", *(COLUMNS[part] for part in PARTS)]
    return Table("The paper's claims, part by part", columns, rows, _notes(claims))


def _entry(result: dict) -> str:
    if result["value"] == "nan":
        return result["verdict"]
    numbers = [result[name].replace("-", "−") for name in ("value", "low", "high")]
    bounds = "" if result["low"] == "nan" else f" [{numbers[1]}, {numbers[2]}]"
    return f"{result['verdict']}: {numbers[0]}{bounds}"


def _notes(claims: Sequence[dict]) -> list[str]:
    def verdict(claim: dict, part: str) -> str:
        return claim["results"][part]["verdict"]

    decided = {HOLDS, FAILS}
    changed = [c for c in claims if {verdict(c, "batch"), verdict(c, "measured")} == decided]
    of_noise = [c for c in changed if verdict(c, NOISE) == verdict(c, "batch")]
    open_now = [
        c for c in claims if verdict(c, "batch") in decided and verdict(c, "measured") == UNKNOWN
    ]
    signless = [c for c in claims if "sign of one update" in c["results"][NOISE]["reason"]]

    def numbers(found: Sequence[dict]) -> str:
        return ", ".join(str(claim["number"]) for claim in found) or "none"

    return [
        "The number is that of the condition that decides, the bracket its 95 % interval. The "
        "measured part is Simpson's rule, noise is batch − fresh.",
        "Hold of batch and not of the measured part, or the reverse: "
        f"{numbers(changed)}. Of these, noise has the verdict of batch: {numbers(of_noise)}.",
        f"Decided of batch, and cannot be told of the measured part: {numbers(open_now)}.",
        f"Count signs of single updates, which the noise part does not have: {numbers(signless)}.",
    ]


def fill(inputs, options) -> Table:
    """The table of a run."""
    (path,) = inputs["claims"]
    return parts_table(read_record(path, ("claims",))["claims"])
