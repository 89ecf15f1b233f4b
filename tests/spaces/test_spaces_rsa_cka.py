"""RSA and debiased CKA: what leaves them as they are, and where nothing is to be found."""

import warnings

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr
from spaces_cases import normal, rotation, uneven

from representations.cka import cka, hsic
from representations.errors import RepresentationError
from representations.resampling import estimate
from representations.rsa import dissimilarities, rsa


def test_rsa_is_the_spearman_correlation_of_cosine_distances():
    first, second = normal(60, 9), normal(60, 5, seed=1)
    expected = spearmanr(pdist(first, "cosine"), pdist(second, "cosine")).statistic
    assert rsa(first, second, centre=False) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("measure", [rsa, cka])
def test_rotation_scale_and_shift_change_nothing(measure):
    states = uneven(300, 24)
    assert measure(states, 5 * states @ rotation(24) + 3) == pytest.approx(1, abs=1e-9)


def test_a_mere_shift_changes_rsa_that_is_not_centred():
    """The fault of public code: .7 instead of 1 after adding 1 to every number."""
    states = normal(500, 64)
    assert rsa(states, states + 1, centre=False) < 0.8
    assert rsa(states, states + 1) == pytest.approx(1)


@pytest.mark.parametrize("measure", [rsa, cka])
def test_unrelated_views_stay_at_the_floor(measure):
    first, second = normal(300, 24), normal(300, 40, seed=1)
    found = estimate(measure, first, second, np.arange(300) // 5)
    assert abs(found.value) < 0.03 and abs(found.floor) < 0.03
    assert found.low < 0.01 and found.high > -0.01


@pytest.mark.parametrize("measure", [rsa, cka])
def test_a_relation_is_above_the_floor_with_an_interval_around_it(measure):
    first = uneven(300, 24)
    second = first @ normal(24, 40, seed=1) + 3 * normal(300, 40, seed=2)
    found = estimate(measure, first, second, np.arange(300) // 5)
    assert 0.1 < found.low < found.value < found.high < 1
    assert abs(found.floor) < 0.03


def test_independent_data_with_more_dimensions_than_samples_have_no_cka():
    """The biased estimate says .5 here, the debiased one 0."""
    first, second = normal(500, 512), normal(500, 512, seed=1)
    centred = [view - view.mean(axis=0) for view in (first, second)]
    biased = np.square(centred[0].T @ centred[1]).sum() / np.prod(
        [np.linalg.norm(view.T @ view) for view in centred]
    )
    assert biased == pytest.approx(0.5, abs=0.02)
    assert cka(first, second) == pytest.approx(0, abs=0.01)


def test_hsic_without_a_kernel_matrix_is_that_with_one():
    """Song et al. 2012, equation 5, written out with samples × samples matrices."""
    first, second = normal(30, 4) + 2, normal(30, 6, seed=1) - 1
    n, one = 30, np.ones(30)
    kernels = []
    for view in (first, second):
        kernel = view @ view.T
        kernels.append(kernel - np.diag(np.diag(kernel)))
    k, l = kernels  # noqa: E741
    expected = (
        np.trace(k @ l)
        + (one @ k @ one) * (one @ l @ one) / ((n - 1) * (n - 2))
        - 2 / (n - 2) * (one @ k @ l @ one)
    ) / (n * (n - 3))
    assert hsic(first, second) == pytest.approx(expected)


@pytest.mark.parametrize("measure", [rsa, cka])
def test_identical_rows_are_refused(measure):
    with pytest.raises(RepresentationError, match="second view: all 20 samples are the same"):
        measure(normal(20, 4), np.ones((20, 4)))


def test_words_that_are_all_equally_far_apart_have_no_ranks():
    with pytest.raises(RepresentationError, match="first view are equally far apart"):
        rsa(np.eye(6), normal(6, 4), centre=False)


def test_a_constant_dimension_is_told_and_changes_nothing():
    states, other = uneven(100, 5), normal(100, 4, seed=1)
    wider = np.append(states, np.full((100, 1), 7.0), axis=1)
    with pytest.warns(UserWarning, match="1 of 6 dimensions are constant.* dimension 5"):
        found = cka(wider, other)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert found == pytest.approx(cka(states, other))


def test_views_of_different_words_are_refused():
    with pytest.raises(RepresentationError, match="first view has 20 samples, the second 19"):
        rsa(normal(20, 4), normal(19, 4))
    with pytest.raises(RepresentationError, match="needed are at least 4"):
        cka(normal(3, 2), normal(3, 2))


def test_ties_share_their_rank():
    """Repeated words have equal distances; their order in memory must not matter."""
    states = np.repeat(normal(20, 6), 3, axis=0)
    other = np.repeat(normal(20, 6, seed=1), 3, axis=0)
    order = np.random.default_rng(0).permutation(60)
    assert rsa(states, other) == pytest.approx(rsa(states[order], other[order]), abs=1e-6)
    assert len(dissimilarities(states)) == 60 * 59 // 2
