"""Division that knows what to say where there is nothing to divide by."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def ratio(numerator: np.ndarray, denominator: ArrayLike, otherwise: float = np.nan) -> np.ndarray:
    """Numerator over denominator; `otherwise` where the denominator is not positive.

    Parameters
    ----------
    numerator : array
    denominator : array that broadcasts against it
    otherwise : float
    """
    below = np.asarray(denominator, dtype=float)
    shape = np.broadcast_shapes(np.shape(numerator), below.shape)
    result: np.ndarray = np.divide(numerator, below, out=np.full(shape, otherwise), where=below > 0)
    return result
