"""The table of words: sentences of a text as several vocabularies cut them into pieces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import xarray as xr

from representations.words import join_pieces, make_words
from text.vocabulary import SPECIAL_IDS, load_vocabulary

UNKNOWN = SPECIAL_IDS["unk_id"]


def read_words(
    text: Path,
    vocabularies: Mapping[str, Path],
    counted_text: Path,
    counted_sentences: int,
    words: int,
    limit: int,
) -> xr.Dataset:
    """Words of the first sentences of a text.

    Sentences with a letter that one of the vocabularies does not know are left out: the models
    would not read the same words.

    Parameters
    ----------
    text : path
        A sentence per line.
    vocabularies : mapping of name to path
        The SentencePiece models. Their names become the coordinate "model" of the table: models
        with the same vocabulary read the same pieces.
    counted_text : path
        Training text whose first `counted_sentences` give the frequencies of words.
    counted_sentences : int
    words : int
        Sentences are read until there are so many words.
    limit : int
        Pieces of a sentence that every model reads, without symbols at its ends.

    Raises
    ------
    RepresentationError
        If the vocabularies have no word in common.
    UserError
        If a vocabulary cannot be read.
    """
    processors = [load_vocabulary(path) for path in vocabularies.values()]
    read: list[list] = [[] for _ in processors]
    found = 0
    with open(text, encoding="utf-8", newline="\n") as lines:
        for line in lines:
            ids = [processor.encode(line.rstrip("\n")) for processor in processors]
            if any(UNKNOWN in row for row in ids):
                continue
            sentences = [
                join_pieces([processor.id_to_piece(number) for number in row], ())
                for processor, row in zip(processors, ids, strict=True)
            ]
            for row, sentence in zip(read, sentences, strict=True):
                row.append(sentence)
            found += min(_words_within(sentence, limit) for sentence in sentences)
            if found >= words:
                break
    normalise = processors[0].normalize
    counts: Counter[str] = Counter()
    with open(counted_text, encoding="utf-8", newline="\n") as lines:
        for line in islice(lines, counted_sentences):
            counts.update(normalise(line.rstrip("\n")).replace("▁", " ").split())
    return make_words(dict(zip(vocabularies, read, strict=True)), counts, limit)


def _words_within(sentence, limit: int) -> int:
    """Words whose pieces all stand within the limit."""
    ends = zip(sentence.first, sentence.pieces, strict=True)
    return sum(first + pieces <= limit for first, pieces in ends)
