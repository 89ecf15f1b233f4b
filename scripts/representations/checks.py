"""States are looked at before they are measured: shape, finite numbers, dimensions that vary."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import RepresentationError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# A row or column whose deviations are below this part of its size is constant but for rounding.
ROUNDING = 1e-12


def as_states(states: ArrayLike, name: str = "states", least: int = 2) -> Floats:
    """States as a float64 matrix (samples, dimensions).

    Parameters
    ----------
    states : array (samples, dimensions)
    name : str
        What the error calls them.
    least : int
        Fewest samples that the caller can work with.

    Raises
    ------
    RepresentationError
        If they are no matrix, too few, or not finite.
    """
    found = np.asarray(states, dtype=np.float64)
    if found.ndim != 2 or found.shape[1] == 0:
        raise RepresentationError(
            f"{name} have the shape {found.shape}; expected (samples, dimensions)"
        )
    if len(found) < least:
        raise RepresentationError(f"{name}: {len(found)} samples, needed are at least {least}")
    wrong = np.flatnonzero(~np.isfinite(found).all(axis=1))
    if len(wrong):
        raise RepresentationError(
            f"{name}: {len(wrong)} of {len(found)} samples hold what is not a finite number, "
            f"the first of them sample {wrong[0]}"
        )
    return found


def as_pair(first: ArrayLike, second: ArrayLike, least: int = 2) -> tuple[Floats, Floats]:
    """Two views of the same samples, row by row.

    Raises
    ------
    RepresentationError
        Like as_states, and if the numbers of samples differ.
    """
    one, two = as_states(first, "first view", least), as_states(second, "second view", least)
    if len(one) != len(two):
        raise RepresentationError(
            f"the first view has {len(one)} samples, the second {len(two)}; row i of both has to "
            "be the same word"
        )
    return one, two


def as_labels(labels: ArrayLike, samples: int, name: str) -> Integers:
    """Labels of any kind (types, sentences, groups) as integers from 0, one per sample.

    Raises
    ------
    RepresentationError
        If there is not one label per sample.
    """
    found = np.asarray(labels)
    if found.shape != (samples,):
        raise RepresentationError(
            f"{name} have the shape {found.shape}; expected one for each of {samples} samples"
        )
    return np.unique(found, return_inverse=True)[1].astype(np.int64)


def unit_rows(states: Floats, name: str = "states") -> Floats:
    """Rows divided by their norms, as cosines need them.

    Raises
    ------
    RepresentationError
        If a row is zero: it has no direction.
    """
    norms = np.linalg.norm(states, axis=1)
    zero = np.flatnonzero(norms == 0)
    if len(zero):
        raise RepresentationError(
            f"{name}: {len(zero)} of {len(states)} samples are zero, the first of them sample "
            f"{zero[0]}; they have no direction and no cosine. Leave them out"
        )
    return np.asarray(states / norms[:, None])


def centred(states: Floats, name: str = "states") -> Floats:
    """States minus their mean.

    Raises
    ------
    RepresentationError
        If all samples are the same.

    Warns
    -----
    UserWarning
        If some dimensions are constant. They carry nothing, so the measures go on without them.
    """
    high, low = states.max(axis=0), states.min(axis=0)
    constant = high - low <= ROUNDING * np.maximum(np.abs(high), np.abs(low))
    if constant.all():
        raise RepresentationError(
            f"{name}: all {len(states)} samples are the same, so there is nothing to compare"
        )
    if constant.any():
        warnings.warn(
            f"{name}: {constant.sum()} of {len(constant)} dimensions are constant and carry "
            f"nothing, the first of them dimension {np.flatnonzero(constant)[0]}",
            stacklevel=3,
        )
    deviations: Floats = states - states.mean(axis=0)
    deviations[:, constant] = 0.0
    return deviations
