"""Cleaning steps, which leave out pairs or change the text.

A step is a function in this file; its name and a value in the configuration activate it. Steps
get normalised texts: composed characters, words separated by exactly one space.
"""

import hashlib
import random
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from common.files import UserError
from text.lengths import BY_SCRIPT, sentence_length

Pair = tuple[str, str]


# The arguments of a step's function, and the texts that the step applies to.
PAIR = "pair"  # (pair, value): the reason to leave a pair out, or None
LENGTHS = "lengths"  # (lengths of both sides, value): likewise; see `lengths.sentence_length`
PIECES = "pieces"  # (numbers of vocabulary pieces of both sides, value): likewise, when encoding
EVERY_TEXT = "every text"  # (text, value, language): the text of all splits
TRAINING_TEXT = "training text"  # (text, value, draw): the text of the training split


class Registered(NamedTuple):
    """One kind of step: its function, its allowed values, and the kind of its arguments."""

    function: Callable
    minimum: float
    maximum: float
    given: str


class Step(NamedTuple):
    """One step of a configuration: its name and its value."""

    name: str
    value: float


STEPS: dict[str, Registered] = {}


def leaves_out(minimum: float = 0.0, maximum: float = float("inf"), given: str = PAIR) -> Callable:
    """Register `function(pair, value)`, which returns the reason why a pair is left out, or None.

    The reason is a word such as "too_long"; counts.json and the report count pairs per reason.
    `minimum` and `maximum` limit the value in the configuration. With `given=LENGTHS` the function
    gets the lengths of both sides instead of the pair, with `given=PIECES` their numbers of
    vocabulary pieces.
    """
    return lambda function: _register(function, minimum, maximum, given)


def changes_every_text(minimum: float = 0.0, maximum: float = float("inf")) -> Callable:
    """Register `function(text, value, language)`, which returns the text of every split."""
    return lambda function: _register(function, minimum, maximum, EVERY_TEXT)


def changes_training_text(minimum: float = 0.0, maximum: float = float("inf")) -> Callable:
    """Register `function(text, value, draw)`, which returns the text to train on.

    It is called for every sentence of the training split after splitting; `draw` returns random
    numbers in [0, 1) that depend only on the seed and the sentence.
    """
    return lambda function: _register(function, minimum, maximum, TRAINING_TEXT)


def _register(function: Callable, minimum: float, maximum: float, given: str) -> Callable:
    STEPS[function.__name__] = Registered(function, minimum, maximum, given)
    return function


@leaves_out(minimum=1, given=LENGTHS)
def maximum_words(lengths: tuple[int, int], value: float) -> str | None:
    """Leave out pairs with a side longer than `value`."""
    return "too_long" if max(lengths) > value else None


@leaves_out(minimum=1)
def maximum_characters(pair: Pair, value: float) -> str | None:
    """Leave out pairs with a side of more than `value` characters."""
    return "too_many_characters" if max(map(len, pair)) > value else None


@leaves_out(minimum=1, given=LENGTHS)
def maximum_ratio(lengths: tuple[int, int], value: float) -> str | None:
    """Leave out pairs with one side more than `value` times as long as the other.

    One word of Finnish or Estonian can correspond to several English words, so a short pair such
    as "Of course not, thank you." and "Ei." is valid: the value must be large enough for it.
    """
    shorter, longer = sorted(lengths)
    return "unbalanced" if longer > value * shorter else None


@leaves_out(minimum=1, given=PIECES)
def maximum_pieces(pieces: tuple[int, ...], value: float) -> str | None:
    """Leave out training and validation pairs with a side of more than `value` pieces."""
    return "too_many_pieces" if max(pieces) > value else None


@leaves_out(minimum=1, given=PIECES)
def maximum_piece_ratio(pieces: tuple[int, ...], value: float) -> str | None:
    """Leave out training and validation pairs with one side `value` times more pieces."""
    return "unbalanced_pieces" if max(pieces) > value * min(pieces) else None


@changes_every_text(minimum=0, maximum=1)
def lowercase(text: str, value: float, language: str) -> str:
    """Convert the text of all splits, including test sets, to lower case; 0 changes nothing.

    Turkish and Azerbaijani have a dotted and a dotless i, each in upper and lower case.
    """
    if not value:
        return text
    if language in ("tr", "tur", "az", "aze"):
        text = text.replace("\u0130", "i").replace("I", "\u0131")
    return text.lower()


@changes_training_text(minimum=0, maximum=1)
def shuffle_words(text: str, value: float, draw: Callable[[], float]) -> str:
    """Permute the words of a sentence randomly; each word takes part with probability `value`.

    0 changes nothing; 1 puts all words of the sentence into a random order.
    """
    words = text.split(" ")
    chosen = [place for place in range(len(words)) if draw() < value]
    # Sort by random keys: of Python's random functions only random() is the same in all versions.
    shuffled = sorted(chosen, key=lambda place: draw())
    moved = [words[place] for place in shuffled]
    for place, word in zip(chosen, moved):
        words[place] = word
    return " ".join(words)


def check_steps(settings: Iterable[Mapping[str, object]]) -> list[Step]:
    """Check the steps of a configuration, such as {"maximum_words": 250}, and return them.

    Raises
    ------
    UserError
        If a step is unknown, or its value is no number or outside the allowed range.
    """
    steps = []
    for setting in settings:
        if not isinstance(setting, Mapping) or len(setting) != 1:
            raise UserError(f"a cleaning step is one name and its value, but found {setting!r}")
        ((name, value),) = setting.items()
        if name not in STEPS:
            raise UserError(f"{name!r} is no cleaning step; the steps are: {', '.join(STEPS)}")
        kind = STEPS[name]
        number = float("nan") if isinstance(value, bool) else value
        if not isinstance(number, int | float) or not kind.minimum <= number <= kind.maximum:
            bounded = kind.maximum < float("inf")
            allowed = f"{kind.minimum:g} {f'to {kind.maximum:g}' if bounded else 'or more'}"
            raise UserError(
                f"cleaning step {name}: the value should be a number, {allowed}, not {value!r}"
            )
        steps.append(Step(name, number))
    return steps


def reason_to_leave_out(
    pair: Pair, steps: Iterable[Step], units: tuple[str, str] = (BY_SCRIPT, BY_SCRIPT)
) -> tuple[str, str] | None:
    """The first reason to leave a pair out and the step that gives it; None if there is none.

    `units` are the units of the lengths of both sides.
    """
    lengths = None
    for name, value in steps:
        step = STEPS[name]
        if step.given == LENGTHS:
            if lengths is None:
                lengths = (sentence_length(pair[0], units[0]), sentence_length(pair[1], units[1]))
            reason = step.function(lengths, value)
        else:
            reason = step.function(pair, value)
        if reason is not None:
            return reason, name
    return None


def steps_given(steps: Iterable[Step], *kinds: str) -> list[Step]:
    """The steps whose functions take one of these kinds of arguments."""
    return [step for step in steps if STEPS[step.name].given in kinds]


def change_text(text: str, step: Step, seed: int) -> str:
    """Apply a step that changes training text to one sentence.

    The random numbers depend only on the seed, the step and the sentence, not on the position of
    the sentence or on the process.
    """
    start = hashlib.blake2b(f"{seed} {step.name} {text}".encode(), digest_size=8).digest()
    draw = random.Random(int.from_bytes(start, "little")).random
    return STEPS[step.name].function(text, step.value, draw)
