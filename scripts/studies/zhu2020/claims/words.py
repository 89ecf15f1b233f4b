"""Claim Z-h: which words the embeddings and the softmax learn by."""

from __future__ import annotations

import numpy as np

from losschange.claims.resamples import Resample
from losschange.claims.verdicts import Condition

from ..profiles import TOP_BINS, text_shares, word_profile
from .registry import claim


@claim(
    "Z-h",
    "3.5",
    "Frequent words dominate what embeddings and softmax contribute.",
    [
        Condition(f"share of the {TOP_BINS} most frequent groups of words", least=0.5),
        Condition("their share over their share of the text", least=1.0),
    ],
    layers=False,
)
def frequent_words_dominate(resample: Resample) -> list[float]:
    """§3.5, Figure 5: the top 5 of 25 groups, at least half of the sum; and per mass of text.

    Groups of words that learn alike have a share of 5 / 25 = 0.2, and 1 per mass of text.
    """
    words = word_profile(resample).sum(axis=0)
    if words.sum() <= 0:
        return [np.nan, np.nan]
    share = float(words[:TOP_BINS].sum() / words.sum())
    return [share, share / float(text_shares(resample.bins)[:TOP_BINS].sum())]
