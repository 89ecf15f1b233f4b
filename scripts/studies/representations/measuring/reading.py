"""The table of words: sentences of a text as several vocabularies cut them into pieces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import xarray as xr

from attention_heads.treebank import read_conllu
from attention_heads.words import align_pieces
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
    treebanks: Sequence[Path] = (),
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
    treebanks : sequence of path, optional
        CoNLL-U files with the parts of speech of the text's sentences, for a column "tag".

    Raises
    ------
    RepresentationError
        If the vocabularies have no word in common.
    UserError
        If a vocabulary cannot be read.
    """
    processors = [load_vocabulary(path) for path in vocabularies.values()]
    read: list[list] = [[] for _ in processors]
    texts: list[str] = []
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
            texts.append(line)
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
    table = make_words(dict(zip(vocabularies, read, strict=True)), counts, limit)
    if not treebanks:
        return table
    return tag_words(table, texts, treebanks)


def tag_words(words: xr.Dataset, texts: Sequence[str], treebanks: Iterable[Path]) -> xr.Dataset:
    """A table of words with their universal parts of speech, as the variable "tag".

    A word with punctuation is several words of a treebank; its tag is that of the one that it
    begins with. Words of sentences that no treebank holds have the tag "".

    Parameters
    ----------
    words : xr.Dataset
        From representations.words.make_words.
    texts : sequence of str
        The sentences that the column "sentence" counts.
    treebanks : iterable of path

    Raises
    ------
    attention_heads.errors.TreebankError
        If a treebank cannot be read.
    """
    known = {_bare(each.text): each for path in treebanks for each in read_conllu(path)}
    types, sentences = words["type"].values, words["sentence"].values
    tags = np.full(len(types), "", dtype=object)
    for number in np.unique(sentences):
        sentence = known.get(_bare(texts[number]))
        if sentence is not None:
            here = np.flatnonzero(sentences == number)
            places = align_pieces(types[here].tolist(), sentence.words)
            tags[here] = [sentence.tags[place] for place in places]
    return words.assign(tag=("word", tags))


def _bare(text: str) -> str:
    """Without white space, which a prepared corpus may have changed."""
    return "".join(text.split())


def _words_within(sentence, limit: int) -> int:
    """Words whose pieces all stand within the limit."""
    ends = zip(sentence.first, sentence.pieces, strict=True)
    return sum(first + pieces <= limit for first, pieces in ends)
