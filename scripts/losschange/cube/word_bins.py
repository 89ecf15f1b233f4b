"""A vocabulary divided by frequency: which words' embeddings lower the loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from .layout import CubeError


@dataclass(frozen=True)
class WordBins:
    """Words by frequency, for the rows of embedding matrices (Zhu et al. 2020, Figure 5).

    Parameters
    ----------
    matrices : sequence of str
        Names of the parameters whose rows are words.
    bin_of_word : int array (words,)
        Bin of each row, 0 = the most frequent words.
    mass : float array (bins,)
        Share of the running text that each bin's words make up.
    division : {"mass", "rank"}
        Whether bins hold equal shares of the text or equal numbers of words.
    """

    matrices: tuple[str, ...]
    bin_of_word: np.ndarray
    mass: np.ndarray
    division: str

    @property
    def words(self) -> np.ndarray:
        """Number of words per bin (bins,)."""
        return np.bincount(self.bin_of_word, minlength=len(self.mass))


def bin_words(
    counts: np.ndarray, matrices: Sequence[str], bins: int = 25, division: str = "mass"
) -> WordBins:
    """Divide a vocabulary by frequency.

    Parameters
    ----------
    counts : int array (words,)
        How often each word occurs in the training text.
    matrices : sequence of str
        Names of the parameters whose rows are these words.
    bins : int
    division : {"mass", "rank"}
        Equal shares of the running text, or equal numbers of words. With "mass", a word more
        frequent than a share leaves the bins that it spans empty.

    Raises
    ------
    CubeError
        If nothing was counted or the division is unknown.
    """
    if division not in ("mass", "rank"):
        raise CubeError(f"division {division!r} of the words is unknown; allowed: mass, rank")
    order, place = _places_by_mass(counts)
    if division == "rank":
        place = (np.arange(len(counts)) + 0.5) / len(counts)
    bin_of_word = np.empty(len(counts), dtype=np.int64)
    bin_of_word[order] = np.minimum((place * bins).astype(np.int64), bins - 1)
    counts = np.asarray(counts, dtype=np.float64)
    mass = np.bincount(bin_of_word, weights=counts / counts.sum(), minlength=bins)
    return WordBins(tuple(matrices), bin_of_word, mass, division)


def words_in_band(counts: np.ndarray, low: float, high: float) -> np.ndarray:
    """Which words lie in a band of frequency.

    Parameters
    ----------
    counts : int array (words,)
        How often each word occurs in the training text.
    low, high : float
        Shares of the running text, 0 at the rarest word and 1 at the most frequent: 0 and 0.25
        are the rarest words, which make up a quarter of the text.

    Returns
    -------
    bool array (words,)
        A word belongs where the middle of its share of the text falls; words that never occur are
        the rarest.

    Raises
    ------
    CubeError
        If nothing was counted, or not 0 <= low < high <= 1.
    """
    if not 0 <= low < high <= 1:
        raise CubeError(f"the band of frequency is {low} to {high}; allowed are shares 0 to 1")
    order, place = _places_by_mass(counts)
    # Counted from the other end; rounding must not put an edge of the text outside of it.
    place = np.clip(1 - place, 0, 1)
    inside = np.empty(len(place), dtype=bool)
    inside[order] = (low <= place) & ((place < high) | (high == 1))
    return inside


def _places_by_mass(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Words by falling frequency, and where the middle of each one's share of the text falls."""
    counts = np.asarray(counts, dtype=np.float64)
    if counts.sum() <= 0:
        raise CubeError("no word was counted, so words cannot be divided by frequency")
    order = np.argsort(-counts, kind="stable")
    share = counts[order] / counts.sum()
    return order, np.cumsum(share) - share / 2


def bins_of(dataset: xr.Dataset) -> WordBins | None:
    """The bins of an open cube without the words in them; None if it has none."""
    if "frequency_bin" not in dataset:
        return None
    words = np.repeat(np.arange(dataset.sizes["frequency_bin"]), dataset["n_words"].values)
    return WordBins(
        tuple(str(name) for name in dataset["matrix"].values),
        words,
        dataset["text_share"].values,
        dataset["text_share"].attrs["division"].removeprefix("bins of equal "),
    )
