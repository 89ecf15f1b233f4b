"""Does the loss change allocation (LCA) of heads agree with what the heads are worth?

The statistic is the mean over layers of the within-layer rank correlation. Its null permutes the
heads of each layer; its interval resamples sentences and blocks of updates. A test of pooled
heads would mistake differences between layers for agreement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .errors import HeadsError
from .quantities import Fixed, Quantity
from .rank_statistics import (
    layer_ranks,
    mean_correlation,
    partial_residuals,
    within_layer_auc,
    within_layer_spearman,
)

NULL_DRAWS = 10_000
INTERVAL_DRAWS = 1_000
LEVEL = 0.95
# Permutations held in memory at once.
_CHUNK = 1_000


@dataclass(frozen=True)
class Agreement:
    """Whether two quantities of heads agree.

    Parameters
    ----------
    value : float
        The statistic; NaN if it cannot be told.
    null : (float, float)
        The middle 95 % of the statistic when heads are permuted within layers.
    p_value : float
        Two-sided, by permutation; not corrected for the number of tests.
    interval : (float, float)
        95 %, over sentences and blocks of updates, around `value`; NaN without anything to
        resample.
    layers : int
        Number of layers that count.
    reliability : (float, float)
        Within-layer rank correlation between the halves of each quantity: what limits `value`.
    reason : str or None
        Why nothing can be said, where nothing can.
    """

    value: float
    null: tuple[float, float]
    p_value: float
    interval: tuple[float, float]
    layers: int
    reliability: tuple[float, float]
    reason: str | None = None


def rank_agreement(
    x: Quantity, y: Quantity, seed: int, given: Fixed | None = None, draws: int = NULL_DRAWS
) -> Agreement:
    """Mean within-layer rank correlation of two quantities.

    Parameters
    ----------
    x, y : Blocks, Sentences or Fixed
    seed : int
    given : Fixed, optional
        With it, the partial rank correlation: what `given` explains is taken out of both. The
        null permutes what is left of y.
    draws : int
        Permutations.

    Raises
    ------
    HeadsError
        If the shapes do not agree.
    """

    def prepared(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if given is None:
            return layer_ranks(a), layer_ranks(b)
        return partial_residuals(a, b, given.value)

    _check_shapes(x.value, y.value, *([] if given is None else [given.value]))
    first, second = prepared(x.value, y.value)
    usable = ~np.isnan((first * second).sum(-1))
    reason = _reason(x.value, usable, given is not None)
    reliability = split_half_reliability(x), split_half_reliability(y)
    if reason:
        return _nothing(reliability, reason)
    random = np.random.default_rng(seed)
    value = float(mean_correlation(first, second))
    null = permuted(lambda z: mean_correlation(first[usable], z), second[usable], draws, random)
    again = mean_correlation(
        *prepared(x.resampled(INTERVAL_DRAWS, seed), y.resampled(INTERVAL_DRAWS, seed))
    )
    fixed = isinstance(x, Fixed) and isinstance(y, Fixed)
    interval = _interval(value, again, -1.0, fixed)
    p_value = _p_value(value, null, 0.0)
    return Agreement(value, _middle(null), p_value, interval, int(usable.sum()), reliability, None)


def rank_agreements(
    xs: Mapping[str, Quantity], y: Quantity, seed: int, draws: int = NULL_DRAWS
) -> dict[str, Agreement]:
    """`rank_agreement` of several quantities with one, under the same permutations of the one.

    Parameters
    ----------
    xs : mapping of name to Quantity
    y : Quantity
    seed, draws
        See rank_agreement.
    """
    _check_shapes(y.value, *(x.value for x in xs.values()))
    second, second_again = layer_ranks(y.value), layer_ranks(y.resampled(INTERVAL_DRAWS, seed))
    of_y, random = split_half_reliability(y), np.random.default_rng(seed)
    firsts = np.stack([layer_ranks(x.value) for x in xs.values()])
    flat = np.nan_to_num(firsts).reshape(len(xs), -1).T
    sums = permuted(lambda z: z.reshape(len(z), -1) @ flat, np.nan_to_num(second), draws, random)
    found = {}
    for place, (name, x) in enumerate(xs.items()):
        usable = ~np.isnan((firsts[place] * second).sum(-1))
        reliability = split_half_reliability(x), of_y
        reason = _reason(x.value, usable, False)
        if reason:
            found[name] = _nothing(reliability, reason)
            continue
        # Layers that do not count add 0 to the sums.
        value, null = mean_correlation(firsts[place], second), sums[:, place] / usable.sum()
        again = mean_correlation(layer_ranks(x.resampled(INTERVAL_DRAWS, seed)), second_again)
        fixed = isinstance(x, Fixed) and isinstance(y, Fixed)
        found[name] = Agreement(
            float(value),
            _middle(null),
            _p_value(float(value), null, 0.0),
            _interval(float(value), again, -1.0, fixed),
            int(usable.sum()),
            reliability,
        )
    return found


def survival_agreement(
    x: Quantity, kept: np.ndarray, seed: int, draws: int = NULL_DRAWS
) -> Agreement:
    """AUC of a quantity for the survival of heads under pruning, within layers.

    Parameters
    ----------
    x : Blocks, Sentences or Fixed
    kept : bool array (layers, heads)
    seed : int
    draws : int
        Permutations.

    Returns
    -------
    Agreement
        `value` is the AUC: 0.5 says that the quantity knows nothing of survival.
    """
    kept = np.asarray(kept, dtype=bool)
    _check_shapes(x.value, kept)
    mixed = kept.any(-1) & ~kept.all(-1)
    usable = mixed & ~np.isnan(layer_ranks(x.value)).any(-1)
    reliability = split_half_reliability(x), np.nan
    if not usable.any():
        reason = (
            "no layer keeps some of its heads and loses others"
            if not mixed.any()
            else "in the layers that lose heads all heads have the same value"
        )
        return _nothing(reliability, reason)
    random = np.random.default_rng(seed)
    values = x.value[usable]
    value = float(within_layer_auc(values, kept[usable]))
    null = permuted(lambda z: within_layer_auc(values, z), kept[usable], draws, random)
    again = within_layer_auc(x.resampled(INTERVAL_DRAWS, seed)[:, usable], kept[usable])
    interval = _interval(value, again, 0.0, isinstance(x, Fixed))
    p_value = _p_value(value, null, 0.5)
    return Agreement(value, _middle(null), p_value, interval, int(usable.sum()), reliability, None)


def permuted(
    statistic: Callable[[np.ndarray], np.ndarray],
    values: np.ndarray,
    draws: int,
    random: np.random.Generator,
) -> np.ndarray:
    """A statistic of values whose heads are permuted within every layer.

    Parameters
    ----------
    statistic : callable
        Takes (n, layers, heads), gives (n,).
    values : array (layers, heads)
    draws : int
    random : np.random.Generator

    Returns
    -------
    array (draws,)
    """
    found = []
    for start in range(0, draws, _CHUNK):
        number = min(_CHUNK, draws - start)
        copies = np.broadcast_to(values, (number, *values.shape))
        found.append(statistic(random.permuted(copies, axis=-1)))
    return np.concatenate(found)


def split_half_reliability(quantity: Quantity) -> float:
    """Within-layer rank correlation between two halves of a quantity; NaN if there are none."""
    halves = quantity.halves()
    return np.nan if halves is None else float(within_layer_spearman(*halves))


def _check_shapes(*arrays: np.ndarray) -> None:
    shapes: Sequence[tuple[int, ...]] = [each.shape for each in arrays]
    if len(set(shapes)) > 1 or len(shapes[0]) != 2:
        raise HeadsError(f"expected arrays (layers, heads) of one shape, found {shapes}")


def _reason(x: np.ndarray, usable: np.ndarray, partial: bool) -> str | None:
    heads, least = x.shape[-1], 3 if partial else 2
    if heads < least:
        return f"{heads} head(s) per layer: ranks within layers need at least {least}"
    if not usable.any():
        return "in every layer the heads are all alike, or a value is missing"
    return None


def _nothing(reliability: tuple[float, float], reason: str) -> Agreement:
    nan = float("nan")
    return Agreement(nan, (nan, nan), nan, (nan, nan), 0, reliability, reason)


def _p_value(value: float, null: np.ndarray, centre: float) -> float:
    """Share of draws at least as far from the centre, the observed one counted among them."""
    extreme = np.abs(null - centre) >= abs(value - centre) - 1e-12
    return float((1 + extreme.sum()) / (1 + len(null)))


def _middle(draws: np.ndarray) -> tuple[float, float]:
    low, high = np.nanquantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _interval(value: float, draws: np.ndarray, least: float, fixed: bool) -> tuple[float, float]:
    """The draws' spread around the value.

    Resampling adds noise, and noise weakens rank correlations: the draws lie below the value. So
    they are moved to have it as their median, and cut at the statistic's bounds.
    """
    known = draws[~np.isnan(draws)]
    if fixed or not known.size:
        return np.nan, np.nan
    low, high = np.clip(_middle(known - np.median(known) + value), least, 1.0)
    return float(low), float(high)
