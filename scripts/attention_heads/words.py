"""Attention between words from attention between pieces of words."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np

from .errors import TreebankError
from .ratios import ratio

# SentencePiece writes this where a word begins.
WORD_START = "▁"


def word_attention(
    weights: np.ndarray, query_words: Sequence[int], key_words: Sequence[int]
) -> np.ndarray:
    """Sum the weights over the pieces of a key's word, take their mean over those of a query's.

    Parameters
    ----------
    weights : array (heads, queries, keys)
    query_words, key_words : sequence of int
        The word that every piece belongs to; negative for symbols that belong to none.

    Returns
    -------
    array (heads, words of the queries, words of the keys)
        NaN in the rows of words without a piece.
    """
    queries, keys = _membership(query_words), _membership(key_words)
    pieces = queries.sum(1, keepdims=True)
    mean = ratio(queries, pieces)
    result: np.ndarray = mean @ weights @ keys.T
    return result


def align_pieces(pieces: Sequence[str], words: Sequence[str], where: str = "sentence") -> list[int]:
    """The word that every piece of a text begins in.

    White space and Unicode compatibility forms make no difference. The pieces may end early.

    Parameters
    ----------
    pieces : sequence of str
        As SentencePiece writes them, without symbols for the ends of the sentence.
    words : sequence of str
    where : str
        Names the sentence in errors.

    Returns
    -------
    list of int

    Raises
    ------
    TreebankError
        If the pieces do not spell the words.
    """
    spelled = [_bare(word) for word in words]
    owner = [number for number, word in enumerate(spelled) for _ in word]
    text = "".join(spelled)
    found, start = [], 0
    for piece in pieces:
        bare = _bare(piece.replace(WORD_START, ""))
        if text[start : start + len(bare)] != bare or start >= len(text):
            raise TreebankError(
                f"{where}: the model's text has {piece!r} where the treebank has "
                f"{text[start : start + 20]!r}; the treebank must hold the sentences that the "
                "model reads, in the same order"
            )
        found.append(owner[start])
        start += len(bare)
    return found


def _membership(words: Sequence[int]) -> np.ndarray:
    """1 where a piece belongs to a word: (words, pieces)."""
    numbers = np.asarray(words, dtype=int)
    result: np.ndarray = (np.arange(numbers.max(initial=-1) + 1)[:, None] == numbers).astype(float)
    return result


def _bare(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).split())
