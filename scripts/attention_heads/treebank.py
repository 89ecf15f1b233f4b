"""Reading treebanks in CoNLL-U, the format of Universal Dependencies."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .errors import TreebankError

# Share of a treebank's words that the model's training text must hold. Of English, German, Finnish
# and Estonian treebanks a text of 500 sentences held 43 to 72 % in its own language, and at most
# 27 % in another.
KNOWN_SHARE = 0.35


@dataclass(frozen=True)
class Relation:
    """One dependency; positions count the words of the sentence from 0."""

    label: str
    dependent: int
    head: int


@dataclass
class Sentence:
    """Words as written, the dependencies between them, and the sentence as running text.

    A contraction such as German "im" is one word; dependencies inside it are left out, and it has
    no tag ("_"). Without a line `# text = ...` the text is the words with spaces between them.
    """

    words: list[str] = field(default_factory=list)
    relations: list[Relation] = field(default_factory=list)
    text: str = ""
    # Universal parts of speech, one for every word.
    tags: list[str] = field(default_factory=list)


def read_conllu(path: str | os.PathLike[str]) -> list[Sentence]:
    """Read a treebank.

    Parameters
    ----------
    path : path
        CoNLL-U, UTF-8.

    Raises
    ------
    TreebankError
        If a line is not CoNLL-U, a head does not exist, or there is no sentence.
    """
    path = Path(path)
    sentences, rows, running = [], [], ""
    text = path.read_text(encoding="utf-8")
    # Unlike splitlines, this does not split at the rarer separators that a comment may contain.
    for number, line in enumerate([*text.split("\n"), ""], 1):
        line = line.rstrip("\r")
        if line.startswith("#"):
            name, _, value = line[1:].partition("=")
            running = value.strip() if name.strip() == "text" else running
        elif line.strip():
            rows.append((number, _fields(path, number, line)))
        elif rows:
            sentences.append(_sentence(path, rows))
            sentences[-1].text = running or " ".join(sentences[-1].words)
            rows, running = [], ""
    if not sentences:
        raise TreebankError(f"{path} holds no sentence: is it a CoNLL-U file?")
    return sentences


def check_language(
    sentences: Sequence[Sentence], known: Collection[str], least: float = KNOWN_SHARE
) -> None:
    """Refuse a treebank of another language than the model's.

    Parameters
    ----------
    sentences : sequence of Sentence
    known : collection of str
        Word types of the model's training text; case makes no difference.
    least : float
        Share of the treebank's words that must be among them.

    Raises
    ------
    TreebankError
    """
    types = {word.lower() for word in known}
    words = [word.lower() for each in sentences for word in each.words if word.isalpha()]
    share = sum(word in types for word in words) / max(len(words), 1)
    if share < least:
        raise TreebankError(
            f"only {share:.0%} of the treebank's words occur in the model's training text "
            f"(at least {least:.0%} are expected): is the treebank of another language?"
        )


def _fields(path: Path, number: int, line: str) -> list[str]:
    fields = line.split("\t")
    if len(fields) != 10:
        raise TreebankError(
            f"{path}:{number}: expected 10 fields separated by tabs, found {len(fields)}"
        )
    return fields


def _sentence(path: Path, rows: list[tuple[int, list[str]]]) -> Sentence:
    """A sentence from its lines: numbers in the file and fields."""
    result, place, contracted = Sentence(), {"0": -1}, 0
    for number, (identifier, form, _, tag, *_) in rows:
        if "." in identifier:  # a word that is understood but not written
            continue
        first, _, last = identifier.partition("-")
        if not first.isdecimal() or not (last or first).isdecimal():
            raise TreebankError(f"{path}:{number}: {identifier!r} is not the number of a word")
        if last or int(first) > contracted:
            result.words.append(form)
            result.tags.append(tag)
        if last:
            contracted = int(last)
        else:
            place[first] = len(result.words) - 1
    for number, fields in rows:
        identifier, head, label = fields[0], fields[6], fields[7]
        if identifier not in place:
            continue
        if head not in place:
            raise TreebankError(f"{path}:{number}: the head {head!r} is no word of the sentence")
        ends = place[identifier], place[head]
        if head != "0" and ends[0] != ends[1]:
            result.relations.append(Relation(label, *ends))
    return result
