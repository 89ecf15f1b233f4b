"""Numbers with standard errors, and the tables that claims read them from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import xarray as xr

Z_95 = 1.959963984540054


class Number(NamedTuple):
    """A value and its standard error.

    Sums treat errors as independent. Those of layers and models come from the same sentences and
    mostly move together, so that intervals of differences are rather too wide than too narrow.
    """

    value: float
    error: float = 0.0

    def __add__(self, other: Number) -> Number:  # type: ignore[override]
        return Number(self.value + other.value, math.hypot(self.error, other.error))

    def __sub__(self, other: Number) -> Number:
        return Number(self.value - other.value, math.hypot(self.error, other.error))

    def times(self, factor: float) -> Number:
        """The number multiplied by one that has no error."""
        return Number(self.value * factor, abs(factor) * self.error)

    def over(self, other: Number) -> Number:
        """The ratio of two numbers; NaN where the other is not above 0."""
        if not other.value > 0:
            return UNDEFINED
        ratio = self.value / other.value
        return Number(ratio, math.hypot(self.error, ratio * other.error) / other.value)

    @property
    def interval(self) -> tuple[float, float]:
        """Ends of the interval of 95 %."""
        return self.value - Z_95 * self.error, self.value + Z_95 * self.error


UNDEFINED = Number(math.nan, math.nan)


def read(table: xr.Dataset, name: str, **place: object) -> list[Number]:
    """A measure of a table as numbers, one for every entry that is left.

    Parameters
    ----------
    table : xr.Dataset
        With the variables <name>, <name>_low and <name>_high.
    name : str
    place : of xr.DataArray.sel
    """
    value, low, high = (
        np.atleast_1d(table[name + ending].sel(place).values) for ending in ("", "_low", "_high")
    )
    errors = (high - low) / (2 * Z_95)
    return [Number(float(one), float(error)) for one, error in zip(value, errors, strict=True)]


def mean(numbers: Sequence[Number]) -> Number:
    """The mean; NaN of no numbers."""
    return combine([1 / len(numbers)] * len(numbers), numbers) if numbers else UNDEFINED


def combine(factors: Sequence[float], numbers: Sequence[Number]) -> Number:
    """Σ factor · number."""
    pairs = [(factor, number) for factor, number in zip(factors, numbers, strict=True) if factor]
    return Number(
        sum(factor * number.value for factor, number in pairs),
        math.sqrt(sum((factor * number.error) ** 2 for factor, number in pairs)),
    )


def slope(numbers: Sequence[Number]) -> Number:
    """Slope of the line through numbers of equally distant layers, from the first to the last."""
    depth = np.linspace(-0.5, 0.5, len(numbers))
    return combine(list(depth / (depth @ depth)), numbers)


def layers_of(table: xr.Dataset) -> list[str]:
    """Layers 0 to N; variants of the first and the last one are left out."""
    return [str(name) for name in table["layer"].values if str(name).isdigit()]


@dataclass(frozen=True)
class Space:
    """What is known of one training.

    Attributes
    ----------
    described, hidden : xr.Dataset
        spaces/<model>.nc and hidden_words/<model>.nc.
    over_training : xr.Dataset or None
        None for models without snapshots.
    """

    described: xr.Dataset
    hidden: xr.Dataset
    over_training: xr.Dataset | None = None

    def by_layer(self, name: str) -> list[Number]:
        """A measure in the layers 0 to N."""
        return read(self.described, name, layer=layers_of(self.described))


@dataclass(frozen=True)
class Spaces:
    """One training of every objective, and the comparisons with each other.

    Attributes
    ----------
    models : mapping of objective to Space
    distance : callable (first objective, second objective) -> Number
        Mean PWCCA distance of layers of equal depth.
    others : mapping of "languages" and "seeds" to sequence of Number
        The same between translation encoders of several target languages, and between seeds.
    """

    models: Mapping[str, Space]
    distance: Callable[[str, str], Number]
    others: Mapping[str, Sequence[Number]] = field(default_factory=dict)


def pwcca_distance(comparison: xr.Dataset) -> Number:
    """1 − PWCCA, mean over both weighings and the layers of equal depth above the embedding."""
    depth = comparison["depth"].values[1:]
    both = [read(comparison, name, depth=depth) for name in ("pwcca", "pwcca_reversed")]
    # Both weighings are of the same words: the error is that of one, not smaller.
    numbers = [
        Number((one.value + two.value) / 2, max(one.error, two.error))
        for one, two in zip(*both, strict=True)
    ]
    return Number(1.0) - mean(numbers)
