"""The gradient noise scale (McCandlish et al. 2018), per cell from a cube, and from two norms.

B_noise = tr(C) / |G|^2, where C is the covariance of the gradient of one target token and G the
gradient of the whole text. A batch of B_noise tokens has as much noise as signal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from .noise import AXES, Groups, Resampled, cannot_tell, interval, resample
from .noise_pieces import NoiseError, is_summary, read_pieces
from .resampling import FEWEST_PIECES, local_draw
from .text_profiles import DRAWS, INTERVAL, WIDENING

ASSUMPTIONS = {
    "sgd": "The step is -lr times the gradient, or its running sum with momentum. Over the "
    "1 / (1 - momentum) updates that momentum remembers, the gradient of the whole text hardly "
    "changes.",
    "adam": "The noise scale is that of gradients in the metric of Adam's step, P = |step| / |m| "
    "per parameter: tr(P C) / (G P G). P is taken not to depend on the gradient of the update "
    "itself, as Adam averages its squares over 1 / (1 - beta2) updates; over the 1 / (1 - beta1) "
    "updates that m remembers, the gradient of the whole text hardly changes. P depends on the "
    "batch size where noise fills it, so that scales found at two batch sizes are in two metrics.",
}


def noise_scale(
    source: xr.Dataset,
    batch_size: float | None = None,
    optimizer: str = "sgd",
    momentum: float | None = None,
    by: Sequence[str] = AXES,
    windows: int = 4,
    edges: Sequence[int] | None = None,
    draws: int = DRAWS,
    seed: int = 1,
) -> xr.Dataset:
    """The gradient noise scale of each cell, from the noise part of the paper's estimator.

    Of a step -lr * g, noise is -lr * tr(C) / B and the change that `fresh` sees is -lr * |G|^2 on
    average, so B_noise = B * noise / fresh, where fresh = measured + curvature is the signal of
    first order. With momentum, only the fresh share 1 - momentum of the step agrees with the
    gradient of the update, and the quotient is divided by it. A metric P of the step, as Adam's,
    stands in both noise and signal.

    Parameters
    ----------
    source : Dataset
        An open cube or its summary, with `batch` and `fresh`.
    batch_size : float, optional
        Target tokens B per update. By default the harmonic mean of the cube's `sample_size` over
        the window (noise is proportional to 1 / B); a summary does not hold it.
    optimizer : {"sgd", "adam"}
    momentum : float
        SGD's momentum (0 if it is not given) without dampening, or Adam's beta1.
    by, windows, edges, draws, seed
        As of `losschange.analysis.noise.parts`.

    Returns
    -------
    Dataset
        `value` (*by), `window_value` (window, *by), in target tokens, and their 95 % intervals
        `low`, `high`, `window_low`, `window_high`. NaN where the interval of the signal does not
        lie below 0: a noise scale cannot be told there. The attribute `assumption` says what the
        optimizer is taken to do. Tokens of a sentence are not independent: C is B times the
        covariance of a batch's gradient, which is what a single token would need to have.

    Raises
    ------
    NoiseError
        If `batch` or `fresh` was not recorded, B is unknown, the optimizer is unknown or its
        momentum is not in [0, 1), or for the reasons that `parts` gives.
    """
    share = _fresh_share(optimizer, momentum)
    pieces = read_pieces(source, windows, edges)
    missing = [name for name in ("batch", "fresh") if name not in pieces.sums]
    if missing:
        raise NoiseError(f"no noise scale without noise. {cannot_tell(pieces.sums)}")
    groups = Groups(pieces.layout, by)
    found = list(resample(pieces, groups, draws, seed))
    scales = []
    for window in found:
        size = _batch_size(source, window, batch_size)
        scales.append(_scale(window, size / share))
    grid = groups.grid(np.stack(scales, axis=1))  # (value low high, window, *by)
    result = xr.Dataset(
        coords={axis: source[axis].values for axis in groups.by},
        attrs={"optimizer": optimizer, "momentum": 1 - share, "assumption": ASSUMPTIONS[optimizer]},
    )
    result.coords["window_first"] = ("window", [window.first for window in found[1:]])
    result.coords["window_last"] = ("window", [window.last for window in found[1:]])
    for name, values in zip(("value", "low", "high"), grid):
        meaning = {"units": "1", "long_name": f"gradient noise scale, {name}, target tokens"}
        result[name] = (groups.by, values[0], meaning)
        result[f"window_{name}"] = (("window", *groups.by), values[1:], meaning)
    return result


def _fresh_share(optimizer: str, momentum: float | None) -> float:
    if optimizer not in ASSUMPTIONS:
        raise NoiseError(f"unknown optimizer {optimizer!r}; known: {', '.join(ASSUMPTIONS)}")
    if momentum is None and optimizer == "adam":
        raise NoiseError("the noise scale under Adam needs its beta1, given as momentum")
    momentum = momentum or 0.0
    if not 0 <= momentum < 1:
        raise NoiseError(f"momentum must be at least 0 and below 1, not {momentum}")
    return 1 - momentum


def _batch_size(source: xr.Dataset, window: Resampled, given: float | None) -> float:
    if given is None and not is_summary(source) and "sample_size" in source:
        steps = source["step"].values
        inside = (steps >= window.first) & (steps <= window.last)
        sizes = source["sample_size"].values[inside].astype(np.float64)
        given = float(1 / np.mean(1 / sizes)) if (sizes > 0).all() else None
    if given is None or not 0 < given < np.inf:
        raise NoiseError(
            f"the number of target tokens per update is not known (found {given}); "
            "give it as batch_size"
        )
    return given


def _scale(window: Resampled, factor: float) -> np.ndarray:
    """Value, low and high (3, groups) of a noise scale, NaN where the signal may be nothing."""
    noise, drawn_noise = window.part("noise")
    signal, drawn_signal = window.value["fresh"], window.drawn["fresh"]
    _, highest = interval(signal, drawn_signal)
    # Without resamplings (NaN) the value has no interval, and the signal's own sign decides.
    told = np.where(np.isnan(highest), signal, highest) < 0
    with np.errstate(divide="ignore", invalid="ignore"):
        value = factor * noise / signal
        drawn = factor * drawn_noise / drawn_signal
    return np.where(told, np.stack([value, *interval(value, drawn)]), np.nan)


@dataclass(frozen=True)
class TwoBatchEstimate:
    """McCandlish's estimate from norms of gradients at two batch sizes.

    Parameters
    ----------
    signal : float
        |G|^2; an unbiased estimate, which may be negative.
    trace : float
        tr(C), unbiased too.
    value : float
        tr(C) / |G|^2, in the unit of the batch sizes; NaN where |G|^2 is not positive.
    low, high : float
        Its 95 % interval; NaN with fewer than 10 pairs of norms, or where |G|^2 may be 0.
    """

    signal: float
    trace: float
    value: float
    low: float
    high: float


def two_batch_noise_scale(
    small_norms: np.ndarray | float,
    large_norms: np.ndarray | float,
    small_batch: float,
    large_batch: float,
    draws: int = DRAWS,
    seed: int = 1,
) -> TwoBatchEstimate:
    """The noise scale from squared gradient norms (McCandlish et al. 2018, appendix A.1).

    A gradient of B samples has E|g|^2 = |G|^2 + tr(C) / B; two batch sizes give both unknowns.
    Means are taken before the quotient, which alone is not unbiased.

    Parameters
    ----------
    small_norms, large_norms : float or float array (n,)
        Squared Euclidean norms of gradients of `small_batch` and of `large_batch` samples, at the
        same updates in the order of training.
    small_batch, large_batch : float
        Samples per gradient, small_batch < large_batch.
    draws, seed : int
        Resamplings of the updates, and their seed.

    Raises
    ------
    NoiseError
        If the norms are not pairs of finite numbers, or the batch sizes are not ascending.
    """
    small, large = (np.atleast_1d(np.asarray(n, np.float64)) for n in (small_norms, large_norms))
    if small.ndim != 1 or small.shape != large.shape or not len(small):
        raise NoiseError(f"norms must be pairs, not of shapes {small.shape} and {large.shape}")
    if not (np.isfinite(small).all() and np.isfinite(large).all()):
        raise NoiseError("a squared norm is not finite; leave out the updates that overflowed")
    if not 0 < small_batch < large_batch:
        raise NoiseError(f"batch sizes must ascend from above 0: {small_batch}, {large_batch}")
    signals = (large_batch * large - small_batch * small) / (large_batch - small_batch)
    traces = (small - large) / (1 / small_batch - 1 / large_batch)
    signal, trace = float(signals.mean()), float(traces.mean())
    value = trace / signal if signal > 0 else np.nan
    low = high = np.nan
    if len(small) >= FEWEST_PIECES and signal > 0:
        random = np.random.default_rng(seed)
        chosen = np.stack([local_draw(len(small), random) for _ in range(draws)])
        drawn_signal = signal + WIDENING * (signals[chosen].mean(axis=1) - signal)
        drawn_trace = trace + WIDENING * (traces[chosen].mean(axis=1) - trace)
        if np.percentile(drawn_signal, INTERVAL[0]) > 0:
            low, high = np.percentile(drawn_trace / drawn_signal, INTERVAL)
            low, high = min(low, value), max(high, value)
    return TwoBatchEstimate(signal, trace, value, float(low), float(high))
