"""How an objective is drawn; needs no plotting library, so that a workflow can read it."""

from __future__ import annotations

from dataclasses import dataclass

Dash = str | tuple[int, tuple[float, ...]]


@dataclass(frozen=True)
class Look:
    """The look of one objective's models in every figure.

    Attributes
    ----------
    title : str
        Short name in panels and legends.
    colour : str
        Hexadecimal; distinguishable from the others' for colour-blind readers.
    marker, dash : of matplotlib
        Repeat what the colour says, for readers who cannot tell colours.
    """

    title: str
    colour: str = "0.4"
    marker: str = "d"
    dash: Dash = "-"
