"""Simpson's rule on the straight segment between two checkpoints, split until its error is small.

With theta(s) = theta_a + s D, cell c changes the loss by the integral over s from 0 to 1 of
g_c(theta(s)) · D_c. Simpson's rule is applied to pieces of the segment. The error of a piece is the
sum of its cells less the measured change of the loss; the piece with the largest error is halved
(Lan et al. 2019 halve all of them).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import numpy as np

# Rounding of a float32 loss, as a share of it: a piece with a smaller error cannot be improved.
ROUNDING = 4 * float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Evaluation:
    """Loss and slopes at a point of the segment.

    Parameters
    ----------
    share : float
        Place of the point: 0 is the start of the segment, 1 its end.
    loss : float
        Nats per target token.
    slopes : float64 array (cells,)
        Gradient times the whole step, summed over each cell: d loss / d share.
    """

    share: float
    loss: float
    slopes: np.ndarray


@dataclass(frozen=True)
class Integral:
    """The loss change along a segment, by cell.

    Parameters
    ----------
    cells : float64 array (cells,)
        Nats.
    evaluations : int
        Evaluations of the text between the ends.
    missed : float
        Sum over the pieces of the absolute error of each, nats.
    """

    cells: np.ndarray
    evaluations: int
    missed: float


class _Piece:
    def __init__(self, start: Evaluation, middle: Evaluation, end: Evaluation):
        self.start, self.middle, self.end = start, middle, end
        width = (end.share - start.share) / 6
        self.cells = width * (start.slopes + 4 * middle.slopes + end.slopes)
        self.error = abs(float(self.cells.sum()) - (end.loss - start.loss))
        self.rounding = ROUNDING * max(abs(start.loss), abs(end.loss))


def trapezoid(first: Evaluation, last: Evaluation) -> np.ndarray:
    """Loss change (cells,) of the whole segment by the trapezoid rule, from its two ends."""
    half: float = (last.share - first.share) / 2
    slopes: np.ndarray = first.slopes + last.slopes
    return half * slopes


def simpson(
    evaluate: Callable[[float], Evaluation],
    first: Evaluation,
    last: Evaluation,
    tolerance: float,
    most: int,
) -> Integral:
    """Loss change along a segment by Simpson's rule, on as many pieces as are needed.

    Parameters
    ----------
    evaluate : callable (share) -> Evaluation
    first, last : Evaluation
        At both ends.
    tolerance : float
        Nats. Pieces are halved until the sum of their absolute errors is at most this: errors of
        opposite sign do not hide each other.
    most : int
        Largest number of evaluations between the ends, 1 or more.
    """
    numbers = count()  # decides between pieces of equal error: the older one comes first
    middle = evaluate((first.share + last.share) / 2)
    pieces = [(0.0, next(numbers), _Piece(first, middle, last))]
    evaluations = 1
    while evaluations + 2 <= most:
        missed = sum(piece.error for _, _, piece in pieces)
        worst = pieces[0][2]
        if missed <= tolerance or worst.error <= worst.rounding:
            break
        heapq.heappop(pieces)
        for start, end in ((worst.start, worst.middle), (worst.middle, worst.end)):
            half = _Piece(start, evaluate((start.share + end.share) / 2), end)
            heapq.heappush(pieces, (-half.error, next(numbers), half))
        evaluations += 2
    # In their order along the segment, so that the sum does not depend on the order of splitting.
    ordered = sorted((piece for _, _, piece in pieces), key=lambda piece: piece.start.share)
    return Integral(
        np.sum([piece.cells for piece in ordered], axis=0),
        evaluations,
        sum(piece.error for piece in ordered),
    )
