"""The list of claims; a function that measures one is put on it by `claim`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from losschange.claims.verdicts import Claim, Condition

OBJECTIVES = ("clm", "mlm", "mt")
CLAIMS: dict[int, Claim] = {}


def claim(
    number: int,
    section: str,
    statement: str,
    conditions: Sequence[Condition],
    scope: str = "main",
    objectives: Sequence[str] = OBJECTIVES,
    layers: bool = True,
) -> Callable[[Callable], Callable]:
    """Put a function on the list of claims; the arguments are those of `Claim`.

    Raises
    ------
    ValueError
        If there is a claim of that number, or no such scope.
    """
    if number in CLAIMS or scope not in ("each", "main", "all"):
        raise ValueError(f"claim {number} is there already, or {scope!r} is no scope")

    def put(measure: Callable) -> Callable:
        CLAIMS[number] = Claim(
            number, section, statement, tuple(conditions), scope, tuple(objectives), layers, measure
        )
        return measure

    return put
