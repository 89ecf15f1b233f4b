"""Sentences with known syntax as batches of a trained model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from attention_heads.errors import TreebankError
from attention_heads.functions import GoldSentences
from attention_heads.treebank import Sentence, check_language, read_conllu
from attention_heads.words import align_pieces
from common.files import UserError

from .trained_model import TrainedModelHandle

UNKNOWN_PIECE = "<unk>"
# Number of lines of the training text in which a treebank's words are looked up.
COMPARED_LINES = 100_000


def find_sentences(text: Path, treebanks: Iterable[Path]) -> list[Sentence | None]:
    """The syntax of every line of a text; None where no treebank holds the line.

    Lines and sentences are compared without white space.
    """
    known = {_bare(each.text): each for path in treebanks for each in read_conllu(path)}
    with open(text, encoding="utf-8", newline="\n") as lines:
        return [known.get(_bare(line)) for line in lines]


def read_treebank(path: Path, training_text: Path) -> list[Sentence | None]:
    """The sentences of a treebank.

    Raises
    ------
    TreebankError
        If it cannot be read, or too few of its words occur in the model's training text.
    """
    sentences = read_conllu(path)
    with open(training_text, encoding="utf-8", newline="\n") as lines:
        known = {word for line in islice(lines, COMPARED_LINES) for word in _words(line)}
    check_language(sentences, known)
    return list(sentences)


def gold_groups(
    handle: TrainedModelHandle,
    vocabulary: Path,
    sides: Mapping[str, Sequence[Sentence | None]],
    number: int,
    groups: int,
    max_tokens: int,
    positions: int | None,
) -> list[GoldSentences]:
    """Batches of the first sentences whose syntax is known on every given side.

    Parameters
    ----------
    handle : TrainedModelHandle
    vocabulary : path
        Its SentencePiece model.
    sides : mapping of "source" or "target" to sentences
        For a translation model both sides, aligned, or the source alone.
    number : int
        Largest number of sentences.
    groups : int
        Number of groups; fewer if there are fewer sentences.
    max_tokens, positions
        See TrainedModelHandle.sentences.

    Raises
    ------
    UserError
        If no sentence is known, or the model's pieces spell other words than the treebank has.
    """
    complete = [pair for pair in zip(*sides.values()) if None not in pair][:number]
    if not complete:
        raise UserError("no sentence has known relations: the treebanks do not belong to the text")
    found = []
    for group in range(min(groups, len(complete))):
        chosen = complete[group::groups]
        columns = [list(column) for column in zip(*chosen)]
        texts = [[_text(each) for each in column] for column in columns]
        batches = handle.plain_sentences(
            vocabulary, texts[0], texts[1] if len(texts) > 1 else None, max_tokens, positions
        )
        found.append(_aligned(handle, batches, dict(zip(sides, columns))))
    if not any(words for group in found for batch in group.words for words in batch.values()):
        raise UserError("the model's pieces spell other words than the treebank: is it the text's?")
    return found


def _aligned(
    handle: TrainedModelHandle, batches: Iterable, columns: Mapping[str, list[Sentence]]
) -> GoldSentences:
    """The word that every token belongs to; none where pieces and words do not agree."""
    kept: list[Any] = []
    owners: list[dict[str, list[list[int]]]] = []
    sentences: list[dict[str, list[Sentence]]] = []
    for batch in batches:
        pieces, tokens = handle.pieces(batch), handle.tokens(batch)
        numbers = batch["id"].tolist()
        kept.append(batch)
        owners.append({})
        sentences.append({})
        for side, column in columns.items():
            content = tokens[side].content.tolist()
            rows = [column[number] for number in numbers]
            sentences[-1][side] = rows
            owners[-1][side] = [
                _owners(row, mask, sentence)
                for row, mask, sentence in zip(pieces[side], content, rows)
            ]
    return GoldSentences(kept, owners, sentences)


def _owners(pieces: Sequence[str], content: Sequence[bool], sentence: Sentence) -> list[int]:
    """The index of the word that each piece belongs to; -1 for symbols.

    All are -1 if the pieces spell other words than the sentence has, or if the vocabulary lacks
    one of its characters: then pieces and words cannot be aligned.
    """
    read = [piece for piece, is_text in zip(pieces, content) if is_text]
    nothing = [-1] * len(pieces)
    if UNKNOWN_PIECE in read or not read:
        return nothing
    try:
        words = iter(align_pieces(read, sentence.words))
    except TreebankError:
        return nothing
    return [next(words) if is_text else -1 for is_text in content[: len(pieces)]]


def _text(sentence: Sentence | None) -> str:
    assert sentence is not None
    return sentence.text


def _bare(line: str) -> str:
    return "".join(line.split())


def _words(line: str) -> list[str]:
    return [word.strip(".,;:!?\"'()") for word in line.split()]
