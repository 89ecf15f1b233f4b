"""Cleaning of sentence pairs: one form for every character, and the pairs that are left out."""

import hashlib
import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import BinaryIO, NamedTuple

import numpy as np

from reproduction.files import UserError

NOT_ALPHANUMERIC = re.compile(r"[\W_]+")
CONTROL_CHARACTERS = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0), 0xFEFF])

Pair = tuple[str, str]
Step = Callable[[Pair], str | None]


class Keys(NamedTuple):
    """Numbers that stand for sentence pairs, each an array of shape (pairs,) of uint64.

    `exact` is equal for equal pairs, `folded` also for near-identical ones.
    """

    exact: np.ndarray
    folded: np.ndarray


def normalise_line(line: bytes) -> str:
    """Decode a line and bring it to one form.

    Unicode NFC; every run of white space (also CR, tabs, no-break spaces and line separators)
    becomes one space, none at the ends; control characters and byte-order marks are removed.

    Raises
    ------
    UnicodeDecodeError
        When the line is not UTF-8.
    """
    text = " ".join(unicodedata.normalize("NFC", line.decode("utf-8")).split())
    if text.isprintable():
        return text
    return " ".join(text.translate(CONTROL_CHARACTERS).split())


def maximum_words(value: float) -> Step:
    """Leave out pairs with a side of more than `value` words ("too_long")."""
    return lambda pair: "too_long" if max(_words(pair)) > value else None


def maximum_characters(value: float) -> Step:
    """Leave out pairs with a side of more than `value` characters ("too_many_characters")."""
    return lambda pair: "too_many_characters" if max(map(len, pair)) > value else None


def maximum_ratio(value: float) -> Step:
    """Leave out pairs with one side more than `value` times as many words ("unbalanced").

    Finnish and Estonian say in one word what takes English several, so a short pair such as
    "Of course not, thank you." and "Ei." is a good one: the value must be generous.
    """

    def step(pair: Pair) -> str | None:
        fewer, more = sorted(_words(pair))
        return "unbalanced" if more > value * fewer else None

    return step


def _words(pair: Pair) -> tuple[int, int]:
    # Words are separated by exactly one space after normalise_line.
    return pair[0].count(" ") + 1, pair[1].count(" ") + 1


STEPS: dict[str, Callable[[float], Step]] = {
    "maximum_words": maximum_words,
    "maximum_characters": maximum_characters,
    "maximum_ratio": maximum_ratio,
}


def build_steps(settings: Iterable[dict]) -> list[Step]:
    """Make the cleaning steps of a configuration, such as {"name": "maximum_words", "value": 250}.

    Raises
    ------
    UserError
        When a step is unknown or its value is not a positive number.
    """
    steps = []
    for setting in settings:
        name, value = setting.get("name"), setting.get("value")
        if name not in STEPS:
            known = ", ".join(STEPS)
            raise UserError(f"{name!r} is no cleaning step. The steps are: {known}.")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
            raise UserError(f"cleaning step {name}: value should be a number above 0, not {value}.")
        steps.append(STEPS[name](value))
    return steps


def clean_pair(lines: tuple[bytes, bytes], steps: Sequence[Step] | None) -> Pair | str:
    """Clean one pair: return the pair of texts, or the reason why it is left out.

    Parameters
    ----------
    lines
        The raw lines of both languages.
    steps
        What is left out besides invalid and empty lines. None for test sets, which must stay
        complete: then only lines that are not UTF-8 are left out.
    """
    try:
        pair = (normalise_line(lines[0]), normalise_line(lines[1]))
    except UnicodeDecodeError:
        return "invalid_utf8"
    if steps is None:
        return pair
    if not all(pair):
        return "empty"
    for step in steps:
        reason = step(pair)
        if reason is not None:
            return reason
    return pair


def fold(text: str) -> str:
    """Reduce a text to what near-identical texts share: no case, white space or punctuation."""
    return NOT_ALPHANUMERIC.sub("", text.casefold())


def pair_key(pair: Pair) -> int:
    """Return a 64-bit number for a pair, equal for equal pairs.

    Two different pairs share a number with a probability of about 1 in 20,000 among 42 million
    pairs; the second of them would be taken for a duplicate, which does no harm.
    """
    text = "\t".join(pair).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def folded_key(pair: Pair) -> int:
    """Return the `pair_key` of the folded pair, equal for near-identical pairs."""
    return pair_key((fold(pair[0]), fold(pair[1])))


def clean_pairs(
    pairs: Iterable[tuple[bytes, bytes]],
    steps: Sequence[Step] | None,
    files: tuple[BinaryIO, BinaryIO],
    dropped: Counter,
) -> tuple[int, Keys]:
    """Clean pairs, write those that stay to two files, and count those that do not.

    Parameters
    ----------
    pairs
        Raw lines of both languages.
    steps
        See `clean_pair`.
    files
        Where the clean texts go, one line for each pair.
    dropped
        Reason to number of pairs; added to.

    Returns
    -------
    read : int
        Number of pairs read.
    keys : Keys
        Of the pairs written, in their order.
    """
    read = 0
    exact, folded = array("Q"), array("Q")
    for lines in pairs:
        read += 1
        pair = clean_pair(lines, steps)
        if isinstance(pair, str):
            dropped[pair] += 1
            continue
        exact.append(pair_key(pair))
        folded.append(folded_key(pair))
        for file, text in zip(files, pair):
            file.write(text.encode("utf-8") + b"\n")
    return read, Keys(np.asarray(exact), np.asarray(folded))  # these share the memory
