"""Local block bootstrap of a training (Paparoditis and Politis 2002).

Training is cut into stretches of STRETCH neighbouring pieces, and each piece is replaced by one
drawn from its own stretch: the trend over training stays, and its noise varies.
"""

from __future__ import annotations

import numpy as np

STRETCH = 5
FEWEST_PIECES = 10


def local_draw(length: int, random: np.random.Generator) -> np.ndarray:
    """For each of `length` pieces of time, the index (length,) of the piece that replaces it."""
    first = np.arange(length) // STRETCH * STRETCH
    span = np.minimum(STRETCH, length - first)
    return first + (random.random(length) * span).astype(np.int64)
