"""Quantities of heads together with what they can be resampled over.

With the same seed, quantities measured on the same sentences are resampled together, and so are
those recorded in the same blocks of updates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .ratios import ratio


@dataclass(frozen=True)
class Blocks:
    """A quantity of every head, recorded in blocks of updates; its value is their sum.

    Parameters
    ----------
    values : array (blocks, layers, heads)
        For LCA: minus the sum over the block's updates and over key, query, value and out.
    """

    values: np.ndarray

    @property
    def value(self) -> np.ndarray:
        """The quantity (layers, heads)."""
        result: np.ndarray = self.values.sum(0)
        return result

    def halves(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The quantity from the odd and from the even blocks; None with fewer than two."""
        if len(self.values) < 2:
            return None
        return self.values[::2].sum(0), self.values[1::2].sum(0)

    def resampled(self, draws: int, seed: int) -> np.ndarray:
        """Values from blocks drawn with replacement (draws, layers, heads)."""
        return np.tensordot(_counts(len(self.values), draws, [seed, 1]), self.values, 1)


@dataclass(frozen=True)
class Sentences:
    """A quantity of every head, measured sentence by sentence; its value is their mean.

    Parameters
    ----------
    values : array (sentences, layers, heads)
        NaN in sentences without a value.
    weights : array (sentences,)
        Weight of each sentence, such as its number of target tokens.
    """

    values: np.ndarray
    weights: np.ndarray

    @property
    def value(self) -> np.ndarray:
        """The quantity (layers, heads)."""
        result: np.ndarray = self._means(np.ones((1, len(self.values))))[0]
        return result

    def halves(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The quantity from the odd and from the even sentences; None with fewer than two."""
        if len(self.values) < 2:
            return None
        odd = np.arange(len(self.values)) % 2
        first, second = self._means(np.stack([1.0 - odd, odd]))
        return first, second

    def resampled(self, draws: int, seed: int) -> np.ndarray:
        """Values from sentences drawn with replacement (draws, layers, heads)."""
        return self._means(_counts(len(self.values), draws, [seed, 2]))

    def _means(self, counts: np.ndarray) -> np.ndarray:
        known = ~np.isnan(self.values) & (self.weights > 0)[:, None, None]
        weights = np.where(known, self.weights[:, None, None], 0.0)
        total = np.tensordot(counts, np.where(known, self.values, 0.0) * weights, 1)
        mass = np.tensordot(counts, weights, 1)
        return ratio(total, mass)


@dataclass(frozen=True)
class Fixed:
    """A quantity of every head without anything to resample, such as the norm of its weights."""

    value: np.ndarray

    def halves(self) -> None:
        """There are none."""
        return

    def resampled(self, draws: int, seed: int) -> np.ndarray:
        """The same value again and again (draws, layers, heads)."""
        return np.broadcast_to(self.value, (draws, *self.value.shape))


Quantity = Blocks | Sentences | Fixed


def _counts(number: int, draws: int, seed: list[int]) -> np.ndarray:
    """How often each of `number` things is drawn (draws, number)."""
    random = np.random.default_rng(seed)
    return random.multinomial(number, np.full(number, 1 / number), size=draws).astype(float)
