"""Contextuality: how far states depend on the sentence (Ethayarajh 2019, sections 3.2 and 4.2).

"Corrected" is minus the average similarity of the layer's states, as the paper does it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .checks import Floats, Integers, as_labels, as_states, unit_rows
from .errors import RepresentationError
from .isotropy import average_similarity
from .resampling import Estimate, interval, interval_of_mean


class SelfSimilarity(NamedTuple):
    """Self-similarity of the word types of a layer.

    Attributes
    ----------
    mean : Estimate
        Mean over types. Floor: occurrences dealt to the types at random.
    corrected : Estimate
        The same minus the average similarity.
    types : int array (types,)
        Number of each type in the order of np.unique(types).
    values : float array (types,)
        Mean cosine of all pairs of different occurrences of the type.
    occurrences : int array (types,)
        Occurrences that were used.
    """

    mean: Estimate
    corrected: Estimate
    types: Integers
    values: Floats
    occurrences: Integers


class IntraSentenceSimilarity(NamedTuple):
    """Intra-sentence similarity of a layer. The floor deals the words to sentences at random.

    Attributes
    ----------
    raw : Estimate
        Cosine of a word and its sentence's mean, the paper's. Each word is part of that mean, so
        unrelated words reach about 1/√n in a sentence of n words.
    leave_one_out : Estimate
        Cosine of a word and the mean of the sentence's other words: 0 for unrelated words.
    corrected : Estimate
        raw minus the average similarity, the paper's correction.
    sentences : int array (sentences,)
        Number of each sentence in the order of np.unique(sentences).
    values : float array (sentences, 2)
        raw and leave_one_out per sentence.
    """

    raw: Estimate
    leave_one_out: Estimate
    corrected: Estimate
    sentences: Integers
    values: Floats


def self_similarity(
    states: ArrayLike,
    types: ArrayLike,
    sentences: ArrayLike,
    least: int = 5,
    most: int = 1_000,
    repeats: int = 20,
    seed: int = 0,
) -> SelfSimilarity:
    """SelfSim: mean cosine of the occurrences of a type, averaged over types.

    Parameters
    ----------
    states : array (words, dimensions)
        Punctuation left out, as the paper does; see representations.words.is_punctuation.
    types, sentences : array (words,)
    least, most : int
        A type with fewer occurrences than `least` is left out; of one with more than `most`, that
        many are drawn.

    Raises
    ------
    RepresentationError
        If no type occurs often enough, or only one: a mean over types then says nothing.
    """
    unit = unit_rows(as_states(states))
    average = average_similarity(unit)
    labels = as_labels(types, len(unit), "types")
    where = as_labels(sentences, len(unit), "sentences")
    rows = _frequent(labels, least, most, seed)
    unit, labels, where = unit[rows], labels[rows], where[rows]
    kept, labels = np.unique(labels, return_inverse=True)
    if len(kept) < 2:
        raise RepresentationError(
            f"{len(kept)} word types occur at least {least} times; self-similarity is a mean over "
            "types and needs at least two. Take more sentences"
        )
    values = _cosines_within(unit, labels)
    value = float(values.mean())
    shuffled = np.random.default_rng(seed).permutation(labels)
    floor = float(_cosines_within(unit, shuffled).mean())
    low, high = interval(
        lambda some: float(np.nanmean(_cosines_within(unit[some], labels[some]))),
        where,
        value,
        repeats,
        seed,
    )
    mean = Estimate(value, floor, low, high)
    return SelfSimilarity(mean, _minus(mean, average), kept, values, np.bincount(labels))


def intra_sentence_similarity(
    states: ArrayLike, sentences: ArrayLike, repeats: int = 20, seed: int = 0
) -> IntraSentenceSimilarity:
    """IntraSim: mean cosine of a sentence's words and the sentence, averaged over sentences.

    Sentences of one word are left out: their word is their mean.

    Raises
    ------
    RepresentationError
        If no sentence has two words.
    """
    found = as_states(states)
    unit = unit_rows(found)
    average = average_similarity(unit)
    labels = as_labels(sentences, len(found), "sentences")
    long = np.bincount(labels)[labels] >= 2
    if not long.any():
        raise RepresentationError("no sentence has two words, so none has an intra-similarity")
    found, unit, labels = found[long], unit[long], labels[long]
    kept, labels = np.unique(labels, return_inverse=True)
    values = _cosines_with_mean(found, unit, labels)
    order = np.random.default_rng(seed).permutation(len(found))
    floors = _cosines_with_mean(found[order], unit[order], labels).mean(axis=0)
    numbers = np.arange(len(kept))
    estimates = []
    for column in range(2):
        column_values = values[:, column]
        value = float(column_values.mean())
        low, high = interval_of_mean(column_values, numbers, repeats, seed)
        estimates.append(Estimate(value, float(floors[column]), low, high))
    raw, alone = estimates
    return IntraSentenceSimilarity(raw, alone, _minus(raw, average), kept, values)


def _frequent(labels: Integers, least: int, most: int, seed: int) -> Integers:
    """Rows of types with at least `least` occurrences, at most `most` drawn of each."""
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    counts = np.bincount(labels)
    rank = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(order[(rank < most) & (np.repeat(counts, counts) >= least)])


def _sums(values: Floats, labels: Integers) -> Floats:
    """Sum of the rows of each label (labels, dimensions); labels without rows give zeros."""
    order = np.argsort(labels, kind="stable")
    counts = np.bincount(labels)
    sums = np.zeros((len(counts), values.shape[1]))
    starts = (np.cumsum(counts) - counts)[counts > 0]
    sums[counts > 0] = np.add.reduceat(values[order], starts, axis=0)
    return sums


def _cosines_within(unit: Floats, labels: Integers) -> Floats:
    """Mean cosine of pairs of different rows of each label; NaN with fewer than two rows."""
    counts = np.bincount(labels).astype(float)
    squares = np.square(_sums(unit, labels)).sum(axis=1)
    pairs = counts * (counts - 1)
    found: Floats = np.divide(
        squares - counts, pairs, out=np.full_like(pairs, np.nan), where=pairs > 0
    )
    return found


def _cosines_with_mean(states: Floats, unit: Floats, labels: Integers) -> Floats:
    """Mean over a sentence's words of the cosine with its mean, and with its others' mean."""
    sums = _sums(states, labels)[labels]
    counts = np.bincount(labels)
    columns = []
    for total in (sums, sums - states):
        norms = np.linalg.norm(total, axis=1)
        inner = np.einsum("ij,ij->i", unit, total)
        # A sum of zero has no direction: no similarity.
        cosine = np.divide(inner, norms, out=np.zeros_like(inner), where=norms > 0)
        columns.append(np.bincount(labels, weights=cosine) / counts)
    return np.stack(columns, axis=1)


def _minus(found: Estimate, average: float) -> Estimate:
    return Estimate(*(number - average for number in found))
