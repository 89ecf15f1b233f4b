"""Formatting of numbers, tables and file names in the report."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from report.table_files import MISSING

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
LEFT_OUT = "(place left out)"


@dataclass(frozen=True)
class Grid:
    """A table of text as the page shows it.

    Attributes
    ----------
    columns : list of str
    rows : list of lists of str
        One entry per column.
    numeric : list of bool
        Whether each column is right-aligned.
    """

    columns: list[str]
    rows: list[list[str]]
    numeric: list[bool]


def make_grid(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Grid:
    """A Grid; columns of numbers are detected, and empty entries become MISSING."""
    filled = [[entry or MISSING for entry in row] for row in rows]
    numeric = []
    for position in range(len(columns)):
        entries = [row[position] for row in filled if row[position] != MISSING]
        numeric.append(position > 0 and bool(entries) and all(map(_starts_as_number, entries)))
    return Grid(list(columns), filled, numeric)


def _starts_as_number(entry: str) -> bool:
    return entry.lstrip("+−-")[:1].isdigit() or entry == "never"


def nats(value: float | None, signed: bool = False) -> str:
    """A loss with three decimals; MISSING for None, "not finite" for infinity and NaN."""
    if value is None:
        return MISSING
    if not math.isfinite(value):
        return "not finite"
    # Adding 0.0 turns -0.0 into 0.0.
    return f"{round(value, 3) + 0.0:{'+' if signed else ''}.3f}".replace("-", "−")


def over_seeds(values: Sequence[float | None], show: Callable[[float], str]) -> str:
    """The value of a model: with several seeds the mean, and the range in brackets.

    Parameters
    ----------
    values : sequence of float or None
        One per training of the model.
    show : callable
        Formats one value. The result is MISSING if a value is unknown or there are none.
    """
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return MISSING
    if len(known) == 1:
        return show(known[0])
    least, most = show(min(known)), show(max(known))
    return f"{show(statistics.fmean(known))} [{least}, {most}]"


def count(value: float | None) -> str:
    """An integer with separators between thousands; MISSING for None."""
    return MISSING if value is None else f"{value:,.0f}"


def ratio(value: float) -> str:
    """A ratio with a multiplication sign; MISSING for NaN.

    It has three significant digits, or three decimals if it is close to 1.
    """
    if not math.isfinite(value):
        return MISSING
    # A no-break space keeps the sign on the line of its number.
    return f"{_ratio_digits(value)}\u00a0×"


def ratio_span(values: Sequence[float]) -> str:
    """The range of finite ratios, such as 1.28 to 1.48 ×; one number if both ends look equal."""
    least, most = _ratio_digits(min(values)), _ratio_digits(max(values))
    return ratio(min(values)) if least == most else f"{least} to {most}\u00a0×"


def _ratio_digits(value: float) -> str:
    if abs(value) >= 100:
        text = f"{value:,.0f}"
    elif 0.9 < value < 1.1:
        text = f"{value:.3f}"
    else:
        text = f"{value:#.3g}".rstrip(".")
    return text.replace("-", "−")


def percent(value: float) -> str:
    """A signed share with two significant digits, MISSING for NaN."""
    if not math.isfinite(value):
        return MISSING
    return f"{_significant(100 * value, '+')}\u00a0%"


def tiny(value: float, signed: bool = False) -> str:
    """A small number of nats with two significant digits, MISSING for NaN."""
    return _significant(value, "+" if signed else "") if math.isfinite(value) else MISSING


def _significant(value: float, sign: str) -> str:
    """Two significant digits, with a power of ten below a ten-thousandth."""
    digits, _, power = f"{value:{sign}#.2g}".partition("e")
    digits = digits.rstrip(".").replace("-", "−")
    return f"{digits} × 10{str(int(power)).translate(SUPERSCRIPTS)}" if power else digits


def quantity(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun: 1 model, 2 models."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def listing(names: Sequence[str]) -> str:
    """Names joined for a sentence: a, b and c."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def portable(value: Any) -> Any:
    """The same value without paths of this machine, which differ between two equal runs.

    An absolute path is replaced by its last part.
    """
    if isinstance(value, dict):
        return {
            key: LEFT_OUT if key == "mirror" and inner is not None else portable(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [portable(inner) for inner in value]
    if isinstance(value, str) and value.startswith(("/", "~", "file:")):
        return f"{LEFT_OUT} {PurePath(value).name}"
    return value
