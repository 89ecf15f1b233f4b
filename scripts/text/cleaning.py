"""Cleaning of sentence pairs: normalise characters and leave out unsuitable pairs."""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from text.lengths import BY_SCRIPT, unit_of_batch
from text.lines import LineBatch, LineError
from text.steps import STEPS, Pair, Step, reason_to_leave_out

PLAIN = bytes([ord("\n"), *range(0x20, 0x7F)])
PUNCTUATION = bytes(code for code in range(0x80) if not chr(code).isalnum() and code != ord("\n"))
SPACES = {chr(code) for code in range(0x3001) if chr(code).isspace()} - {" ", "\n"}
CONTROLS = {chr(code) for code in [*range(0x20), *range(0x7F, 0xA0), 0xFEFF]} - SPACES - {"\n"}
RUNS_OF_SPACES = re.compile(" {2,}")


class CleanBatch(NamedTuple):
    """A batch of pairs after cleaning.

    Attributes
    ----------
    read : int
        Number of pairs before cleaning.
    dropped : Counter
        Number of pairs left out, by reason.
    texts : tuple of two bytes
        The remaining pairs, one line per pair in each language, in UTF-8.
    exact, folded : bytes
        Two keys of eight bytes per remaining pair: `exact` is equal for equal pairs, `folded` also
        for near-identical pairs.
    examples : dict
        By reason, the name of the step ("" if it was no step) and the first pair left out.
    """

    read: int
    dropped: Counter
    texts: tuple[bytes, bytes]
    exact: bytes
    folded: bytes
    examples: dict[str, tuple[str, Pair]]


def rare_characters(text: bytes) -> set[str]:
    """Return the characters of a UTF-8 text other than line feeds and printable ASCII."""
    return set(text.translate(None, PLAIN).decode())


def normalise_text(text: str) -> str:
    """Normalise the lines of a text.

    Unicode NFC; every run of white space (also CR, tabs, no-break spaces and line separators)
    becomes one space and is removed at both ends of a line; control characters and byte-order
    marks are removed. Only line feeds end a line; their number does not change.
    """
    text = unicodedata.normalize("NFC", text)
    for character in rare_characters(text.encode()):
        if character in SPACES:
            text = text.replace(character, " ")
        elif character in CONTROLS:
            text = text.replace(character, "")
    if "  " in text:
        text = RUNS_OF_SPACES.sub(" ", text)
    return text.replace(" \n", "\n").replace("\n ", "\n").strip(" ")


def fold_text(text: str) -> bytes:
    """Remove case, white space and punctuation, so that near-identical lines become equal."""
    # In Turkish, I is the capital of the dotless i; other languages hardly use the dotless i.
    folded = text.casefold().replace("\u0131", "i").encode()
    other = [letter for letter in rare_characters(folded) if not letter.isalnum()]
    folded = folded.translate(None, PUNCTUATION)
    for character in other:
        folded = folded.replace(character.encode(), b"")
    return folded


def pair_keys(first: bytes, second: bytes) -> bytes:
    """Return 64 bits for each pair of lines of two texts, equal for equal pairs.

    Among 42 million pairs, the probability that any two different pairs share a key is about 1 in
    20,000. The second of them would be dropped as a duplicate, which does no harm.
    """
    digest = hashlib.blake2b
    pairs = zip(first.split(b"\n"), second.split(b"\n"), strict=True)
    return b"".join([digest(b"%b\t%b" % pair, digest_size=8).digest() for pair in pairs])


def folded_keys(pairs: Iterable[Pair]) -> bytes:
    """Return 64 bits for each pair of clean texts, equal for near-identical pairs."""
    sides = list(zip(*pairs))
    return pair_keys(*(fold_text("\n".join(side)) for side in sides)) if sides else b""


def clean_lines(lines: Sequence[bytes]) -> list[str | None]:
    """Decode and normalise lines; lines that are not UTF-8 become None.

    Raises
    ------
    LineError
        If a line contains a line feed: the lines after it would no longer be aligned.
    """
    invalid = set()
    try:
        text = b"\n".join(lines).decode()
    except UnicodeDecodeError:
        invalid = {place for place, line in enumerate(lines) if not _is_utf8(line)}
        valid = [b"" if place in invalid else line for place, line in enumerate(lines)]
        text = b"\n".join(valid).decode()
    clean: list[str | None] = list(normalise_text(text).split("\n"))
    if len(clean) != len(lines):
        place = next(place for place, line in enumerate(lines) if b"\n" in line)
        raise LineError(
            f"a sentence holds a line feed: {lines[place][:60]!r}. It should be one line."
        )
    for place in invalid:
        clean[place] = None
    return clean


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def clean_batch(
    batch: LineBatch,
    steps: Sequence[Step] | None,
    changes: Sequence[Step] = (),
    languages: Sequence[str] = ("", ""),
    units: tuple[str, str] = (BY_SCRIPT, BY_SCRIPT),
) -> CleanBatch:
    """Clean a batch of raw pairs.

    Parameters
    ----------
    batch
        The raw lines of both languages.
    steps
        Steps that leave out pairs, in addition to invalid and empty lines. None for test sets,
        which must stay complete: then only lines that are not UTF-8 are left out.
    changes
        Steps that change all texts, including test sets.
    languages
        Languages of both sides, for these changes.
    units
        Units of the lengths of both sides; see `lengths.sentence_length`.
    """
    dropped: Counter = Counter()
    examples: dict[str, tuple[str, Pair]] = {}
    kept = []
    sides = [clean_lines(side) for side in batch]
    units = unit_of_batch(sides[0], units[0]), unit_of_batch(sides[1], units[1])
    for place, pair in enumerate(zip(*sides)):
        if None in pair:
            found = ("invalid_utf8", "")
            first, second = (side[place].decode("utf-8", "replace") for side in batch)
            pair = first, second
        elif steps is None:
            pair, found = change_pair(pair, changes, languages), None
        elif "" in pair:
            found = ("empty", "")
        else:
            pair = change_pair(pair, changes, languages) if changes else pair
            found = reason_to_leave_out(pair, steps, units)
        if found is None:
            kept.append(pair)
        else:
            dropped[found[0]] += 1
            examples.setdefault(found[0], (found[1], pair))
    if not kept:
        return CleanBatch(len(batch[0]), dropped, (b"", b""), b"", b"", examples)
    texts = ["\n".join(side) for side in zip(*kept)]
    encoded = [text.encode() for text in texts]
    return CleanBatch(
        read=len(batch[0]),
        dropped=dropped,
        texts=(encoded[0] + b"\n", encoded[1] + b"\n"),
        exact=pair_keys(*encoded),
        folded=pair_keys(*map(fold_text, texts)),
        examples=examples,
    )


def change_pair(pair: Pair, changes: Sequence[Step], languages: Sequence[str]) -> Pair:
    """Apply the steps that change every text to both sides of a pair."""
    for name, value in changes:
        change = STEPS[name].function
        pair = tuple(change(text, value, language) for text, language in zip(pair, languages))
    return pair
