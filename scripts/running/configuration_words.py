"""Mistakes in a configuration in plain words: a line for each, with the key and what is needed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, RootModel

from .configuration import Configuration

# Keys of earlier versions, and their present places.
MOVED = {
    "resources": "execution, without training_ before its keys",
    "training.device": "execution.device",
    "training.data_workers": "execution.data_workers",
    "training.validation_interval": "execution.validation_interval",
    "training.checkpoint_interval": "execution.checkpoint_interval",
}
# What is needed, by pydantic's name of the mistake; the words in braces are in its context.
NEEDED = {
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list, such as [a, b]",
    "tuple_type": "a list, such as [a, b]",
    "dict_type": "keys with values, one a line",
    "model_type": "keys with values, one a line",
    "literal_error": "{expected}",
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}",
    "less_than_equal": "{le} or less",
    "too_short": "a list of at least {min_length}, not of {actual_length}",
    "too_long": "a list of at most {max_length}, not of {actual_length}",
}
PATTERNS = {
    "^[0-9a-f]{64}$": "64 digits of 0-9 and a-f, or null",
    r"^[a-z0-9][a-z0-9-]*$": "lower-case letters, digits and hyphens",
    r"^[A-Za-z][A-Za-z0-9_]*$": "letters, digits and _, such as en or zh_TW",
    r"^every [1-9]\d*$": "every <n>, such as every 10",
}
NAMES_IN_A_LINE = 4


def describe(problems: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for every key in which pydantic found mistakes.

    Where a value may be of several kinds, pydantic tells why it is none of them, one by one; here
    one line names them all.
    """
    needed: dict[tuple[str, str], list[str]] = {}
    for problem in problems:
        path = [part for part in problem["loc"] if part != "[key]" and not _is_branch(part)]
        key = ".".join(str(part) for part in path)
        start, message = _described(key, path, problem)
        needed.setdefault((key, start), []).append(message)
    return [
        f"{key}: {start}{', or '.join(dict.fromkeys(messages))}"
        for (key, start), messages in needed.items()
    ]


def together(found: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Of (name, mistake), each mistake once, with all the names that it is told of."""
    names: dict[str, list[str]] = {}
    for name, mistake in found:
        names.setdefault(mistake, []).append(name)
    for mistake, told in names.items():
        yield some_of(told), mistake


def some_of(names: Iterable[str]) -> str:
    """The first names, and how many there are beside them."""
    names = list(dict.fromkeys(names))
    left_out = len(names) - NAMES_IN_A_LINE
    if left_out < 2:
        return ", ".join(names)
    return f"{', '.join(names[:NAMES_IN_A_LINE])} and {left_out} more"


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """The known name that a wrong one resembles, as a question; empty without one."""
    close = difflib.get_close_matches(str(name), list(known), n=1)
    return f"did you mean {close[0]}?" if close else ""


def _described(key: str, path: list[str | int], problem: Mapping[str, Any]) -> tuple[str, str]:
    """What was found, and what is wrong with it or needed."""
    kind = problem["type"]
    if kind == "extra_forbidden":
        if key in MOVED:
            return "", f"this key is now {MOVED[key]}"
        known = _known_keys(path[:-1])
        hint = did_you_mean(path[-1], known) or f"known here: {', '.join(known)}"
        return "unknown key; ", hint
    if kind == "missing":
        return "", "missing"
    found = "" if isinstance(problem["input"], Mapping) else f"found {problem['input']!r}; "
    context = {
        name: f"{value:g}" if isinstance(value, float) else value
        for name, value in problem.get("ctx", {}).items()
    }
    if kind == "string_pattern_mismatch":
        needed = PATTERNS.get(context["pattern"], f"text of the form {context['pattern']}")
    elif kind in NEEDED:
        needed = NEEDED[kind].format(**context)
    else:
        return found, problem["msg"].removeprefix("Value error, ")
    return f"{found}allowed is ", needed


def _is_branch(part: str | int) -> bool:
    """Whether a part of pydantic's location names a branch of a union, not a key."""
    return isinstance(part, str) and (
        part.startswith(("constrained-", "literal[", "list[")) or part in ("int", "bool", "float")
    )


def _known_keys(path: list[str | int]) -> list[str]:
    """Allowed keys of the section at a path."""
    section: type[BaseModel] = Configuration
    for part in path:
        annotation = getattr(section, "model_fields", {}).get(part)
        if annotation is None:
            continue
        section = next(_sections_in(annotation.annotation), section)
    return sorted(info.alias or name for name, info in section.model_fields.items())


def _sections_in(kind: Any) -> Iterator[type[BaseModel]]:
    """Sections that a type is made of; a section without own keys maps names to others."""
    if isinstance(kind, type) and issubclass(kind, RootModel):
        kind = kind.model_fields["root"].annotation
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    for inner in getattr(kind, "__args__", ()):
        yield from _sections_in(inner)
