"""Words and states with known answers, for the tests of representation spaces."""

from __future__ import annotations

import numpy as np

from representations.words import PiecedSentence, make_words


def whole_words(sentence):
    """A sentence whose words are one piece each."""
    length = len(sentence)
    return PiecedSentence(tuple(sentence), tuple(range(length)), (1,) * length)


def words_of(sentences, models=("clm",), **options):
    """The table of sentences that all models read in whole words."""
    read = [whole_words(sentence) for sentence in sentences]
    return make_words(dict.fromkeys(models, read), **options)


def rotation(dimensions, seed=0):
    """A random orthogonal matrix."""
    noise = np.random.default_rng(seed).normal(size=(dimensions, dimensions))
    return np.linalg.qr(noise)[0]


def normal(*shape, seed=0):
    """Independent standard normal numbers."""
    return np.random.default_rng(seed).normal(size=shape)


def uneven(samples, dimensions, seed=0):
    """Normal states whose dimensions have standard deviations from .2 to 2."""
    return normal(samples, dimensions, seed=seed) * np.linspace(0.2, 2, dimensions)
