"""Colours and markers of objectives; without a plotting library, so workflows can import it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Dash = Literal["-", "--", "-.", ":"] | tuple[int, tuple[float, ...]]


@dataclass(frozen=True)
class Look:
    """Title, colour, marker and line style of one objective's models in every figure.

    Attributes
    ----------
    title : str
        Short name in panels and legends.
    colour : str
        Hexadecimal; distinguishable from those of other objectives for colour-blind readers.
    marker, dash : of matplotlib
        Identify the objective for readers who cannot distinguish colours.
    """

    title: str
    colour: str = "0.4"
    marker: str = "d"
    dash: Dash = "-"
