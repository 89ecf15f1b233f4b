"""Projection-weighted canonical correlations (Morcos et al. 2018) and SVCCA (Raghu et al. 2017).

Both views are centred, every canonical direction is whitened, and directions without variance are
dropped. The published code misses the whitening, adds the mean back and fails where the first view
is the wider one; its numbers are therefore not those of this module.

PWCCA weighs canonical correlations by how much of a view its canonical variables account for. So it
depends on which view that is: both numbers are given. Weighed by X it is invariant to any
invertible affine map of Y, but not to a rotation of X.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import eigh, qr, svd

from .checks import Floats, as_pair, centred
from .covariances import Covariances, covariances_of
from .errors import RepresentationError

# Directions with a singular value below this part of the largest one are rounding. Squares, as
# covariances hold them, show no smaller part than that of float64 itself.
SMALLEST = 1e-10
SMALLEST_SQUARED = 1e-12
# Where the smallest variance of a direction is above this part of the largest, covariances, which
# are several times faster, serve for states as well.
WELL_CONDITIONED = 1e-9
SVCCA_SHARE = 0.99


class CanonicalCorrelations(NamedTuple):
    """Canonical correlations of two views.

    Attributes
    ----------
    correlations : float array (k,)
        ρ_i, descending, from 0 to 1.
    first_weights, second_weights : float array (k,)
        α_i of either view: the sum over its dimensions x_j of |h_iᵀ x_j|, where h_i is the view's
        canonical variable.
    samples : int
    """

    correlations: Floats
    first_weights: Floats
    second_weights: Floats
    samples: int

    @property
    def first(self) -> float:
        """PWCCA weighed by the first view."""
        return float(self.first_weights @ self.correlations / self.first_weights.sum())

    @property
    def second(self) -> float:
        """PWCCA weighed by the second view."""
        return float(self.second_weights @ self.correlations / self.second_weights.sum())

    @property
    def mean(self) -> float:
        """Mean canonical correlation, without weights."""
        return float(self.correlations.mean())


class _View(NamedTuple):
    """A centred view X = U · diag(sizes) · axes, without U."""

    sizes: Floats
    axes: Floats

    @property
    def rank(self) -> int:
        return len(self.sizes)


class _Whitened(NamedTuple):
    """A view by its covariances: U = X · map; condition is the least variance over the largest."""

    view: _View
    map: Floats
    condition: float


def canonical_correlations(first: ArrayLike, second: ArrayLike) -> CanonicalCorrelations:
    """Canonical correlations of two views of the same samples.

    Independent views do not give 0 but a number that grows with dimensions over samples. So a value
    needs its floor (representations.resampling.estimate), and only values of equal n compare.

    Parameters
    ----------
    first, second : array (samples, dimensions)

    Raises
    ------
    RepresentationError
        If a view is constant, or there are too few samples for the views' dimensions: some
        correlations are then 1 whatever the data are.
    """
    one, two = as_pair(first, second)
    one, two = centred(one, "first view"), centred(two, "second view")
    products = covariances_of(one, two, seed=None)
    whitened = _whiten_both(products)
    if all(each.condition > WELL_CONDITIONED for each in whitened):
        return _from_sums(whitened, products.first_second, len(one))
    (basis_one, view_one), (basis_two, view_two) = _decompose(one), _decompose(two)
    return _correlate(view_one, view_two, basis_one.T @ basis_two, len(one))


def correlations_of(covariances: Covariances, permuted: bool = False) -> CanonicalCorrelations:
    """Canonical correlations from covariances that were added up block by block.

    Parameters
    ----------
    covariances : Covariances
    permuted : bool
        Those of the permuted rows instead: the floor.

    Raises
    ------
    RepresentationError
        As canonical_correlations does.
    """
    cross = _cross(covariances, permuted)
    return _from_sums(_whiten_both(covariances), cross, covariances.samples)


def pwcca(first: ArrayLike, second: ArrayLike) -> float:
    """PWCCA similarity of two views, weighed by the first; 1 − it is the distance."""
    return canonical_correlations(first, second).first


def pwcca_distance(first: ArrayLike, second: ArrayLike) -> float:
    """1 − PWCCA, weighed by the first view."""
    return 1.0 - pwcca(first, second)


def svcca(first: ArrayLike, second: ArrayLike, share: float = SVCCA_SHARE) -> float:
    """SVCCA: mean canonical correlation of the directions that hold `share` of the variance.

    Parameters
    ----------
    first, second : array (samples, dimensions)
    share : float
        Share of each view's variance that its kept principal components account for.
    """
    return svcca_of(covariances_of(first, second, seed=None), share)


def svcca_of(covariances: Covariances, share: float = SVCCA_SHARE, permuted: bool = False) -> float:
    """SVCCA from covariances that were added up block by block."""
    cross = _cross(covariances, permuted)
    cut = Covariances(*cross.shape)
    projections = []
    for square in (covariances.first_first, covariances.second_second):
        values, vectors = eigh(square)
        values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
        projections.append(vectors[:, : _components(np.sqrt(values), share)])
    left, right = projections
    cut.samples = covariances.samples
    cut.first_first = left.T @ covariances.first_first @ left
    cut.second_second = right.T @ covariances.second_second @ right
    cut.first_second = left.T @ cross @ right
    return correlations_of(cut).mean


def _whiten_both(covariances: Covariances) -> tuple[_Whitened, _Whitened]:
    samples = covariances.samples
    return (
        _whiten(covariances.first_first, samples, "first"),
        _whiten(covariances.second_second, samples, "second"),
    )


def _whiten(square: Floats, samples: int, name: str) -> _Whitened:
    values, vectors = eigh(square)
    if values[-1] <= 0:
        raise RepresentationError(
            f"{name} view: all {samples} samples are the same, so there is nothing to compare"
        )
    kept = np.flatnonzero(values > SMALLEST_SQUARED * values[-1])[::-1]
    view = _View(np.sqrt(values[kept]), vectors[:, kept].T)
    return _Whitened(view, vectors[:, kept] / view.sizes, float(values[0] / values[-1]))


def _from_sums(
    whitened: tuple[_Whitened, _Whitened], cross: Floats, samples: int
) -> CanonicalCorrelations:
    first, second = whitened
    return _correlate(first.view, second.view, first.map.T @ cross @ second.map, samples)


def _decompose(deviations: Floats) -> tuple[Floats, _View]:
    """Orthonormal basis (samples, rank) of a centred view, and the rest of its SVD."""
    # The SVD of the small triangular factor instead of that of the tall matrix.
    basis, triangle = qr(deviations, mode="economic", check_finite=False)
    left, sizes, axes = svd(triangle, full_matrices=False, check_finite=False)
    kept = sizes > SMALLEST * sizes[0]
    return basis @ left[:, kept], _View(sizes[kept], axes[kept])


def _correlate(first: _View, second: _View, product: Floats, samples: int) -> CanonicalCorrelations:
    """Canonical correlations from U_xᵀ U_y."""
    spare = samples - 1 - first.rank - second.rank
    if spare < 0:
        raise RepresentationError(
            f"{samples} samples are too few for views of {first.rank} and {second.rank} "
            f"dimensions: {min(-spare, first.rank, second.rank)} canonical correlations would be 1 "
            f"whatever the data are. Needed are more than {first.rank + second.rank} samples"
        )
    left, correlations, right = svd(product, full_matrices=False)
    # h_iᵀ x_j, with h_i = U_x · left_i and X = U_x · diag(sizes) · axes.
    first_weights = np.abs((left.T * first.sizes) @ first.axes).sum(axis=1)
    second_weights = np.abs((right * second.sizes) @ second.axes).sum(axis=1)
    return CanonicalCorrelations(
        np.clip(correlations, 0.0, 1.0), first_weights, second_weights, samples
    )


def _cross(covariances: Covariances, permuted: bool) -> Floats:
    if not permuted:
        return covariances.first_second
    if covariances.permuted is None:
        raise RepresentationError(
            "these covariances were added up without permuted rows, so they have no floor; give "
            "them a seed"
        )
    return covariances.permuted


def _components(sizes: Floats, share: float) -> int:
    """How many principal components hold `share` of the variance."""
    if not 0 < share <= 1:
        raise RepresentationError(f"a share of the variance is above 0 and at most 1, not {share}")
    running = np.cumsum(np.square(sizes))
    return min(int(np.searchsorted(running, share * running[-1])) + 1, len(sizes))
