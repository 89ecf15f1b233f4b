"""From pieces to words: the only unit that models with different vocabularies share.

A word's state is the mean of the states of its pieces. One table per language says which words
there are, in which sentence, how frequent, between which neighbours, and in how many pieces every
model reads them.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from losschange.cube.word_bins import bin_words

from .checks import Floats, Integers, as_labels, as_states
from .errors import RepresentationError

MARKER = "▁"
BINS = 5


class PiecedSentence(NamedTuple):
    """A sentence's words and where their pieces stand.

    Attributes
    ----------
    words : tuple of str
    first : tuple of int
        Position of each word's first piece in the sentence.
    pieces : tuple of int
        Number of pieces of each word.
    """

    words: tuple[str, ...]
    first: tuple[int, ...]
    pieces: tuple[int, ...]


def join_pieces(pieces: Sequence[str], special: Sequence[str] = ("<s>", "</s>")) -> PiecedSentence:
    """The words of a sentence of SentencePiece's pieces.

    Parameters
    ----------
    pieces : sequence of str
        A piece that begins with ▁ begins a word.
    special : sequence of str
        Pieces that belong to no word, such as those of beginning and end. They keep their
        positions.
    """
    words: list[str] = []
    first: list[int] = []
    counts: list[int] = []
    open_word = False
    for position, piece in enumerate(pieces):
        if piece in special:
            open_word = False
        elif piece.startswith(MARKER) or not open_word:
            words.append(piece.removeprefix(MARKER))
            first.append(position)
            counts.append(1)
            open_word = True
        else:
            words[-1] += piece
            counts[-1] += 1
    return PiecedSentence(tuple(words), tuple(first), tuple(counts))


def make_words(
    models: Mapping[str, Sequence[PiecedSentence]],
    counts: Mapping[str, int] | None = None,
    limit: int | None = None,
    bins: int = BINS,
) -> xr.Dataset:
    """The table of the words that all models read in the same sentences.

    Parameters
    ----------
    models : mapping of model to sequence of PiecedSentence
        The same sentences in the same order.
    counts : mapping of word to int, optional
        How often each word occurs in the training text; by default in these sentences.
    limit : int, optional
        Pieces that the smallest model reads: every sentence is cut after the last word that
        ends within it in all models.
    bins : int
        Frequency bins of equal shares of the running text, 0 the most frequent.

    Returns
    -------
    xr.Dataset with the dimensions word and model
        sentence, position (in words), type, frequency_bin, left, right ("" at the edges of the
        sentence) by word; first_piece and pieces by model and word.

    Raises
    ------
    RepresentationError
        If the numbers of sentences differ, or the models have no word in common.
    """
    lengths = {model: len(sentences) for model, sentences in models.items()}
    if len(set(lengths.values())) != 1:
        told = ", ".join(f"{model} {length}" for model, length in lengths.items())
        raise RepresentationError(f"the models read different numbers of sentences: {told}")
    rows: list[tuple[int, int, str, str, str]] = []
    places: list[list[tuple[int, int]]] = []
    for sentence, readings in enumerate(zip(*models.values(), strict=True)):
        length = _common_length(readings, limit)
        words = readings[0].words[:length]
        # The word after the cut is still the last one's right neighbour.
        around = ("", *readings[0].words[: length + 1], "")
        for position, word in enumerate(words):
            rows.append((sentence, position, word, around[position], around[position + 2]))
            places.append([(read.first[position], read.pieces[position]) for read in readings])
    if not rows:
        raise RepresentationError(
            f"the models {', '.join(models)} have no word in common in {max(lengths.values())} "
            "sentences; they have to read the same text, split into words the same way"
        )
    sentences, positions, types, left, right = (np.array(column) for column in zip(*rows))
    pieces = np.array(places, dtype=np.int64)
    table = {
        "sentence": ("word", sentences.astype(np.int64)),
        "position": ("word", positions.astype(np.int64)),
        "type": ("word", types.astype(object)),
        "frequency_bin": ("word", frequency_bins(types, counts, bins)),
        "left": ("word", left.astype(object)),
        "right": ("word", right.astype(object)),
        "first_piece": (("model", "word"), pieces[:, :, 0].T),
        "pieces": (("model", "word"), pieces[:, :, 1].T),
    }
    return xr.Dataset(table, coords={"model": list(models)}, attrs={"frequency_bins": bins})


def frequency_bins(
    types: ArrayLike, counts: Mapping[str, int] | None = None, bins: int = BINS
) -> Integers:
    """Frequency bin of every word (words,): equal shares of the text that was counted, 0 the most
    frequent. Words that were never counted are in the last bin."""
    found = np.asarray(types).tolist()
    counted = dict(counts) if counts is not None else dict(Counter(found))
    names = sorted({*counted, *found})
    numbers = np.array([counted.get(name, 0) for name in names])
    if numbers.sum() <= 0:
        raise RepresentationError("no word was counted, so there are no frequency bins")
    place = dict(zip(names, bin_words(numbers, (), bins).bin_of_word.tolist(), strict=True))
    return np.array([place[name] for name in found], dtype=np.int64)


def pool_pieces(states: ArrayLike, first: ArrayLike, pieces: ArrayLike) -> Floats:
    """Mean state of every word's pieces (words, dimensions).

    Parameters
    ----------
    states : array (all pieces, dimensions)
    first, pieces : int array (words,)
        Row of each word's first piece, and the number of its pieces, which are consecutive.

    Raises
    ------
    RepresentationError
        If a word's pieces are not among the states.
    """
    found = as_states(states, "states of pieces", 1)
    starts, counts = np.asarray(first), np.asarray(pieces)
    wrong = (starts < 0) | (counts < 1) | (starts + counts > len(found))
    if wrong.any():
        word = np.flatnonzero(wrong)[0]
        raise RepresentationError(
            f"word {word} has {counts[word]} pieces from row {starts[word]} on, but there are "
            f"states of {len(found)} pieces"
        )
    # One row more, since a word may end at the last one; every second sum lies between words.
    padded = np.append(found, np.zeros((1, found.shape[1])), axis=0)
    edges = np.stack([starts, starts + counts], axis=1).ravel()
    sums = np.add.reduceat(padded, edges, axis=0)[::2] if len(starts) else padded[:0]
    return np.asarray(sums / counts[:, None])


def single_piece(words: xr.Dataset) -> Integers:
    """Rows of the words that are one piece in all models, for measures of a word's identity."""
    return np.flatnonzero((words["pieces"].values == 1).all(axis=0))


def is_punctuation(types: ArrayLike) -> NDArray[np.bool_]:
    """Whether each word (words,) is made of punctuation and symbols alone."""
    return np.array(
        [
            all(unicodedata.category(letter)[0] in "PS" for letter in word)
            for word in np.asarray(types).tolist()
        ],
        dtype=bool,
    )


def equal_numbers(
    groups: ArrayLike, number: int | None = None, groups_expected: int | None = None, seed: int = 0
) -> list[Integers]:
    """Rows of every group, as many of each: measures of different n are not comparable.

    Parameters
    ----------
    groups : int array (samples,)
        Group of each sample from 0, such as its frequency bin.
    number : int, optional
        Rows of each group; by default those of the smallest.
    groups_expected : int, optional
        Number of groups; by default up to the largest that occurs.

    Raises
    ------
    RepresentationError
        If a group is empty or smaller than `number`.
    """
    labels = np.asarray(groups)
    as_labels(labels, len(labels), "groups")
    sizes = np.bincount(labels, minlength=groups_expected or 0)
    wanted = number if number is not None else int(sizes.min())
    short = np.flatnonzero(sizes < max(wanted, 1))
    if len(short):
        raise RepresentationError(
            f"group {short[0]} has {sizes[short[0]]} words, needed are {max(wanted, 1)} as in "
            "every other group; take fewer bins or more sentences"
        )
    draw = np.random.default_rng(seed)
    return [
        np.sort(draw.permutation(np.flatnonzero(labels == group))[:wanted])
        for group in range(len(sizes))
    ]


def _common_length(readings: Sequence[PiecedSentence], limit: int | None) -> int:
    """How many words from the sentence's beginning all models read, and read as the same."""
    length = 0
    for words in zip(*(reading.words for reading in readings)):
        ends = [reading.first[length] + reading.pieces[length] for reading in readings]
        if len(set(words)) > 1 or (limit is not None and max(ends) > limit):
            break
        length += 1
    return length
