"""The list of a study's claims; a function that measures one is put on it by `claim`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .verdicts import Claim, Condition

SCOPES = ("each", "main", "all")


class ClaimList(dict[int | str, Claim]):
    """The claims of one study, by number.

    Parameters
    ----------
    objectives : sequence of str
        Objectives that a claim concerns if it names none.
    layers : int
        Transformer layers of the models whose layers the claims name.
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
    ) -> Callable[[Callable], Callable]:
        """Put the decorated function on the list; the arguments are those of `Claim`.

        Parameters
        ----------
        objectives : sequence of str, optional
            All of the list's if not given.
        layers : bool
            Whether the claim names layers, so that it can only be judged on models that have
            as many as the study's.

        Raises
        ------
        ValueError
            If there is a claim of that number, or no such scope.
        """
        if number in self or scope not in SCOPES:
            raise ValueError(f"claim {number} is there already, or {scope!r} is no scope")

        def put(measure: Callable) -> Callable:
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
