"""The list of a study's claims; the decorator `claim` adds a function that measures one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from .verdicts import Claim, Condition

Measure = TypeVar("Measure", bound=Callable[..., Any])

SCOPES = ("each", "main", "all")


class ClaimList(dict[int | str, Claim]):
    """The claims of one study, by number.

    Parameters
    ----------
    objectives : sequence of str
        Default objectives of a claim.
    layers : int
        Number of Transformer layers of the models whose layers the claims name.
    """

    def __init__(self, objectives: Sequence[str], layers: int):
        super().__init__()
        self.objectives = tuple(objectives)
        self.layers = layers

    def claim(
        self,
        number: int | str,
        section: str,
        statement: str,
        conditions: Sequence[Condition],
        scope: str = "main",
        objectives: Sequence[str] | None = None,
        layers: bool = True,
    ) -> Callable[[Measure], Measure]:
        """Add the decorated function to the list; the arguments are those of `Claim`.

        Parameters
        ----------
        objectives : sequence of str, optional
            By default all objectives of the list.
        layers : bool
            Whether the claim names layers; then it is judged only on models with the study's
            number of layers.

        Raises
        ------
        ValueError
            If there is already a claim with this number, or the scope is unknown.
        """
        if number in self or scope not in SCOPES:
            raise ValueError(f"claim {number} is there already, or {scope!r} is no scope")

        def put(measure: Measure) -> Measure:
            self[number] = Claim(
                number,
                section,
                statement,
                tuple(conditions),
                scope,
                tuple(self.objectives if objectives is None else objectives),
                self.layers if layers else None,
                measure,
            )
            return measure

        return put
