"""PWCCA and SVCCA: known answers, and what public code does wrong."""

import numpy as np
import pytest
from sklearn.cross_decomposition import CCA
from spaces_cases import normal, rotation, uneven

from representations.covariances import Covariances, covariances_of
from representations.errors import RepresentationError
from representations.pwcca import (
    canonical_correlations,
    correlations_of,
    pwcca,
    pwcca_distance,
    svcca,
    svcca_of,
)
from representations.resampling import estimate


def related(samples=2_000, first=16, second=16, seed=0):
    """Two views that share a part."""
    x = uneven(samples, first, seed)
    y = x @ normal(first, second, seed=seed + 1) / 4 + normal(samples, second, seed=seed + 2)
    return x, y


def test_a_view_and_itself_have_distance_zero():
    x, _ = related()
    assert pwcca_distance(x, x) == pytest.approx(0, abs=1e-9)


def test_any_affine_map_of_the_second_view_changes_nothing():
    x, y = related()
    mapped = y @ normal(16, 16, seed=9) * 7 + 100
    assert pwcca(x, mapped) == pytest.approx(pwcca(x, y), abs=1e-8)
    assert pwcca(x, 2 * x @ normal(16, 16, seed=9) + 1) == pytest.approx(1, abs=1e-8)


def test_shifting_the_first_view_changes_nothing():
    """The fault of google/svcca, which adds the mean back: .844 becomes .929."""
    x, y = related()
    assert pwcca(x + 100, y) == pytest.approx(pwcca(x, y), abs=1e-9)


def test_rotating_the_first_view_changes_the_weights_only():
    """PWCCA weighs by the first view's axes; the correlations themselves stay."""
    x, y = related()
    plain, turned = canonical_correlations(x, y), canonical_correlations(x @ rotation(16), y)
    np.testing.assert_allclose(plain.correlations, turned.correlations, atol=1e-9)
    assert abs(plain.first - turned.first) > 1e-3
    assert plain.second == pytest.approx(turned.second, abs=1e-9)


def test_both_directions_are_those_of_exchanged_views():
    x, y = related(first=16, second=10)
    there, back = canonical_correlations(x, y), canonical_correlations(y, x)
    assert there.first == pytest.approx(back.second)
    assert there.second == pytest.approx(back.first)
    assert abs(there.first - there.second) > 1e-3


def test_the_first_view_may_be_the_wider_one():
    """Where google/svcca raises an IndexError."""
    x, y = related(first=24, second=8)
    found = canonical_correlations(x, y)
    assert len(found.correlations) == 8
    np.testing.assert_allclose(
        found.correlations, canonical_correlations(y, x).correlations, atol=1e-9
    )


def test_correlations_and_weights_are_those_of_scikit_learn():
    x, y = related(500, 4, 6)
    model = CCA(n_components=4, scale=False, max_iter=20_000, tol=1e-14).fit(x, y)
    u, v = model.transform(x, y)
    rho = np.array([np.corrcoef(u[:, i], v[:, i])[0, 1] for i in range(4)])
    found = canonical_correlations(x, y)
    np.testing.assert_allclose(found.correlations, np.sort(rho)[::-1], atol=1e-6)
    weights = np.abs((u / np.linalg.norm(u, axis=0)).T @ (x - x.mean(axis=0))).sum(axis=1)
    assert found.first == pytest.approx(weights @ rho / weights.sum(), abs=1e-5)


def test_correlations_are_whitened():
    """Stretching one axis a thousandfold changes no correlation: directions carry Σ^(-1/2)."""
    x, y = related()
    stretched = x * np.where(np.arange(16) == 3, 1_000.0, 1.0)
    np.testing.assert_allclose(
        canonical_correlations(stretched, y).correlations,
        canonical_correlations(x, y).correlations,
        atol=1e-7,
    )


@pytest.mark.parametrize("length", [3e-6, 1e-8])
def test_directions_of_tiny_variance_count_as_long_as_they_are_no_rounding(length):
    """Axes far shorter than others go through the states themselves, not their squares."""
    x, y = related()
    tiny = x * np.where(np.arange(16) < 4, length, 1.0)
    np.testing.assert_allclose(
        canonical_correlations(tiny, y).correlations,
        canonical_correlations(x, y).correlations,
        atol=1e-6,
    )


@pytest.mark.parametrize("build", ["copy", "sum"])
def test_directions_without_variance_are_dropped(build):
    """Copied dimensions and sums of others add no canonical correlations."""
    x, y = related()
    more = x[:, :3] if build == "copy" else x @ normal(16, 3, seed=5)
    wider, plain = np.append(x, more, axis=1), canonical_correlations(x, y)
    for found in (
        canonical_correlations(wider, y),
        correlations_of(covariances_of(wider, y)),
    ):
        assert len(found.correlations) == 16
        np.testing.assert_allclose(found.correlations, plain.correlations, atol=1e-8)


@pytest.mark.parametrize(("samples", "dimensions", "mean"), [(5_000, 32, 0.067), (1_000, 64, 0.22)])
def test_unrelated_views_reach_the_floor_that_permuted_rows_show(samples, dimensions, mean):
    """The mean correlation of independent data is no 0, so the floor stands beside the value."""
    x, y = normal(samples, dimensions), normal(samples, dimensions, seed=1)
    assert canonical_correlations(x, y).mean == pytest.approx(mean, abs=0.01)
    found = estimate(pwcca, x, y, np.arange(samples) // 5, floor_repeats=3, repeats=0)
    assert found.value == pytest.approx(found.floor, abs=0.01)


def test_a_relation_lies_above_its_floor():
    x, y = related(1_000)
    found = estimate(pwcca, x, y, np.arange(1_000) // 10)
    assert found.low > found.floor + 0.1
    assert found.low < found.value < found.high


def test_few_samples_look_more_alike():
    """The same relation at other n has another distance: only equal n are comparable."""
    assert pwcca(*related(100)) > pwcca(*related(5_000)) + 0.02


@pytest.mark.parametrize("samples", [10, 16, 32])
def test_fewer_samples_than_dimensions_are_refused(samples):
    """With n = d every correlation is 1, below 2d some of them are."""
    x, y = normal(samples, 16), normal(samples, 16, seed=1)
    for found in (
        lambda: pwcca(x, y),
        lambda: correlations_of(covariances_of(x, y)),
    ):
        with pytest.raises(RepresentationError, match=f"{samples} samples are too few for views"):
            found()


def test_identical_rows_are_refused_from_states_and_from_covariances():
    x, y = np.ones((100, 4)), normal(100, 4)
    with pytest.raises(RepresentationError, match="first view: all 100 samples are the same"):
        pwcca(x, y)
    with pytest.raises(RepresentationError, match="first view: all 100 samples are the same"):
        correlations_of(covariances_of(x, y))


@pytest.mark.parametrize("shift", [0.0, 1_000.0])
@pytest.mark.parametrize("block", [7, 300, 5_000])
def test_covariances_give_what_states_give(block, shift):
    """However the words are cut into blocks, and wherever their mean lies."""
    x, y = related(1_500, 16, 10)
    found = correlations_of(covariances_of(x + shift, y - shift, block))
    plain = canonical_correlations(x, y)
    assert found.samples == 1_500
    assert found.first == pytest.approx(plain.first, abs=1e-8)
    assert found.second == pytest.approx(plain.second, abs=1e-8)


def test_covariances_of_parts_add_up():
    x, y = related(900)
    whole, parts = covariances_of(x, y), Covariances(16, 16)
    for start in (0, 300, 600):
        parts.merge(covariances_of(x[start : start + 300], y[start : start + 300]))
    np.testing.assert_allclose(parts.first_second, whole.first_second, atol=1e-9)
    np.testing.assert_allclose(parts.first_mean, x.mean(axis=0), atol=1e-12)
    centred = x - x.mean(axis=0)
    np.testing.assert_allclose(whole.first_first, centred.T @ centred, atol=1e-8)


def test_covariances_carry_their_own_floor():
    x, y = related(2_000)
    sums = covariances_of(x, y, block=500)
    floor = correlations_of(sums, permuted=True)
    independent = canonical_correlations(x, y[np.random.default_rng(3).permutation(2_000)])
    assert floor.mean == pytest.approx(independent.mean, abs=0.015)
    assert correlations_of(sums).mean > floor.mean + 0.1
    with pytest.raises(RepresentationError, match="without permuted rows, so they have no floor"):
        correlations_of(covariances_of(x, y, seed=None), permuted=True)


def test_blocks_that_do_not_fit_are_refused():
    sums = Covariances(4, 3)
    with pytest.raises(RepresentationError, match="blocks of 4 and 4 dimensions were added"):
        sums.add(normal(10, 4), normal(10, 4))
    with pytest.raises(RepresentationError, match="cannot be merged"):
        sums.merge(Covariances(3, 4))
    with pytest.raises(RepresentationError, match="as many samples in both"):
        covariances_of(normal(10, 4), normal(9, 3))
    assert sums.samples == 0


def test_svcca_looks_at_the_directions_of_the_most_variance():
    """Noise in a thousandth of the variance is dropped, and what is left agrees."""
    shared = normal(2_000, 4)
    x = np.append(shared, 0.01 * normal(2_000, 12, seed=1), axis=1)
    y = np.append(shared @ rotation(4), 0.01 * normal(2_000, 12, seed=2), axis=1)
    assert svcca(x, y) == pytest.approx(1, abs=1e-6)
    assert canonical_correlations(x, y).mean < 0.5
    sums = covariances_of(x, y)
    assert svcca_of(sums) == pytest.approx(svcca(x, y))
    assert svcca_of(sums, permuted=True) < 0.1
    with pytest.raises(RepresentationError, match="a share of the variance"):
        svcca(x, y, share=0)
