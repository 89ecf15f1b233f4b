"""Cleaning steps: which pairs are left out, and what is done to the training text.

A step is a function in this file; its name and a value in the configuration turn it on. Texts
reach it in one form: composed characters, words separated by exactly one space.
"""

import hashlib
import random
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from running.files import UserError

Pair = tuple[str, str]


class Registered(NamedTuple):
    """One kind of step: its function, the values it accepts, and where it applies."""

    function: Callable
    minimum: float
    maximum: float
    changes_training_text: bool


class Step(NamedTuple):
    """One step of a configuration: its name and its value."""

    name: str
    value: float


STEPS: dict[str, Registered] = {}


def leaves_out(minimum: float = 0.0, maximum: float = float("inf")) -> Callable:
    """Register `function(pair, value)`, which returns the reason why a pair is left out, or None.

    The reason is a word such as "too_long"; counts.json and the report count the pairs by it.
    `minimum` and `maximum` are the values that a configuration may give.
    """
    return lambda function: _register(function, minimum, maximum, changes_training_text=False)


def changes_training_text(minimum: float = 0.0, maximum: float = float("inf")) -> Callable:
    """Register `function(text, value, draw)`, which returns the text to train on.

    It sees every sentence of the training split, after the splits were made; `draw` returns
    random numbers in [0, 1) that depend on the seed and the sentence only.
    """
    return lambda function: _register(function, minimum, maximum, changes_training_text=True)


def _register(function: Callable, minimum: float, maximum: float, **where: bool) -> Callable:
    STEPS[function.__name__] = Registered(function, minimum, maximum, **where)
    return function


def count_words(pair: Pair) -> tuple[int, int]:
    """Return the number of words of each side."""
    return pair[0].count(" ") + 1, pair[1].count(" ") + 1


@leaves_out(minimum=1)
def maximum_words(pair: Pair, value: float) -> str | None:
    """Leave out pairs with a side of more than `value` words."""
    return "too_long" if max(count_words(pair)) > value else None


@leaves_out(minimum=1)
def maximum_characters(pair: Pair, value: float) -> str | None:
    """Leave out pairs with a side of more than `value` characters."""
    return "too_many_characters" if max(map(len, pair)) > value else None


@leaves_out(minimum=1)
def maximum_ratio(pair: Pair, value: float) -> str | None:
    """Leave out pairs with one side more than `value` times as many words.

    Finnish and Estonian say in one word what takes English several, so a short pair such as
    "Of course not, thank you." and "Ei." is a good one: the value must be generous.
    """
    fewer, more = sorted(count_words(pair))
    return "unbalanced" if more > value * fewer else None


@changes_training_text(minimum=0, maximum=1)
def shuffle_words(text: str, value: float, draw: Callable[[], float]) -> str:
    """Let every word take part in a random permutation with the probability `value`.

    0 changes nothing; 1 puts all words of the sentence into a random order.
    """
    words = text.split(" ")
    chosen = [place for place in range(len(words)) if draw() < value]
    # Sorting by random keys, since only random() itself is the same in all versions of Python.
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
        When a step is unknown, or its value is no number or not one that the step accepts.
    """
    steps = []
    for setting in settings:
        if not isinstance(setting, Mapping) or len(setting) != 1:
            raise UserError(f"a cleaning step is one name and its value, but found {setting!r}")
        ((name, value),) = setting.items()
        if name not in STEPS:
            raise UserError(f"{name!r} is no cleaning step; the steps are: {', '.join(STEPS)}")
        kind = STEPS[name]
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not kind.minimum <= value <= kind.maximum:
            bounded = kind.maximum < float("inf")
            allowed = f"{kind.minimum:g} {f'to {kind.maximum:g}' if bounded else 'or more'}"
            raise UserError(
                f"cleaning step {name}: the value should be a number, {allowed}, not {value!r}"
            )
        steps.append(Step(name, value))
    return steps


def reason_to_leave_out(pair: Pair, steps: Iterable[Step]) -> str | None:
    """Return why the steps leave a pair out, the first reason found, or None."""
    for name, value in steps:
        reason = STEPS[name].function(pair, value)
        if reason is not None:
            return reason
    return None


def change_text(text: str, step: Step, seed: int) -> str:
    """Apply a step that changes training text to one sentence.

    Randomness is drawn from the seed, the step and the sentence, so it does not matter where the
    sentence stands or which process has it.
    """
    start = hashlib.blake2b(f"{seed} {step.name} {text}".encode(), digest_size=8).digest()
    draw = random.Random(int.from_bytes(start, "little")).random
    return STEPS[step.name].function(text, step.value, draw)
