"""Covariances of two views, added up block by block: all that PWCCA needs of any number of words.

Neither view is kept, so two models can be compared whose states never lie in memory together.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from .checks import Floats, as_pair
from .errors import RepresentationError


class Covariances:
    """Sums of products of deviations from the means, of two views of the same samples.

    Deviations are taken from the means of what was added so far and corrected when these move
    (Chan et al. 1983, equation 2.1b), so states far from zero lose no digits.

    Parameters
    ----------
    first, second : int
        Dimensions of the views.
    seed : int or None
        For the permuted rows of the floor; None where no floor is needed.

    Attributes
    ----------
    samples : int
    first_mean, second_mean : float array (dimensions,)
    first_first, second_second, first_second : float array
        Sums over samples of products of deviations: XᵀX, YᵀY and XᵀY of the centred views.
    permuted : float array or None
        XᵀY with the rows of Y permuted within every block: what unrelated views give.
    """

    def __init__(self, first: int, second: int, seed: int | None = 0):
        self.samples = 0
        self.first_mean: Floats = np.zeros(first)
        self.second_mean: Floats = np.zeros(second)
        self.first_first: Floats = np.zeros((first, first))
        self.second_second: Floats = np.zeros((second, second))
        self.first_second: Floats = np.zeros((first, second))
        self.permuted: Floats | None = None
        self._draw: np.random.Generator | None = None
        if seed is not None:
            self.permuted = np.zeros((first, second))
            self._draw = np.random.default_rng(seed)

    def add(self, first: ArrayLike, second: ArrayLike) -> None:
        """Add a block of samples.

        Parameters
        ----------
        first, second : array (samples, dimensions)
            Row i of both is the same word. For the floor, blocks of a hundred rows and more.

        Raises
        ------
        RepresentationError
            If the blocks do not fit each other or the accumulator, or are not finite.
        """
        one, two = as_pair(first, second, least=1)
        expected = self.first_second.shape
        if (one.shape[1], two.shape[1]) != expected:
            raise RepresentationError(
                f"blocks of {one.shape[1]} and {two.shape[1]} dimensions were added to covariances "
                f"of {expected[0]} and {expected[1]}"
            )
        means = one.mean(axis=0), two.mean(axis=0)
        one, two = one - means[0], two - means[1]
        block = Covariances(*expected, seed=None)
        block.samples = len(one)
        block.first_mean, block.second_mean = means
        block.first_first, block.second_second = one.T @ one, two.T @ two
        block.first_second = one.T @ two
        if self._draw is not None:
            block.permuted = one.T @ two[self._draw.permutation(len(two))]
        self.merge(block)

    def merge(self, other: Covariances) -> None:
        """Add the samples of other covariances, such as those of another part of the text.

        Raises
        ------
        RepresentationError
            If they have other dimensions.
        """
        if other.first_second.shape != self.first_second.shape:
            raise RepresentationError(
                f"covariances of dimensions {other.first_second.shape} cannot be merged with "
                f"those of {self.first_second.shape}"
            )
        samples = self.samples + other.samples
        if samples == 0:
            return
        moves = other.first_mean - self.first_mean, other.second_mean - self.second_mean
        weight = self.samples * other.samples / samples
        self.first_first += other.first_first + weight * np.outer(moves[0], moves[0])
        self.second_second += other.second_second + weight * np.outer(moves[1], moves[1])
        self.first_second += other.first_second + weight * np.outer(moves[0], moves[1])
        if self.permuted is not None and other.permuted is not None:
            self.permuted += other.permuted
        else:
            self.permuted = None
        self.first_mean = self.first_mean + moves[0] * other.samples / samples
        self.second_mean = self.second_mean + moves[1] * other.samples / samples
        self.samples = samples


def covariances_of(
    first: ArrayLike, second: ArrayLike, block: int = 4_096, seed: int | None = 0
) -> Covariances:
    """Covariances of two views that are arrays already, or are read lazily by slicing.

    Parameters
    ----------
    first, second : array (samples, dimensions)
    block : int
        Rows that are read and multiplied at a time.
    seed : int or None
        For the permuted rows of the floor; None for none.
    """
    shapes = np.shape(first), np.shape(second)
    if any(len(shape) != 2 for shape in shapes) or shapes[0][0] != shapes[1][0]:
        raise RepresentationError(
            f"the views have the shapes {shapes[0]} and {shapes[1]}; expected (samples, "
            "dimensions) with as many samples in both"
        )
    found = Covariances(shapes[0][1], shapes[1][1], seed)
    samples = shapes[0][0]
    edges = [*range(0, samples, block), samples]
    for start, stop in pairwise(edges):
        found.add(first[start:stop], second[start:stop])  # type: ignore[index]
    return found
