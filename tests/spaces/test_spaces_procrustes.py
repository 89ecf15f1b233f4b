"""Alignment by an orthogonal map, and retrieval after it."""

import numpy as np
import pytest
from spaces_cases import normal, rotation

from representations.errors import RepresentationError
from representations.procrustes import align, retrieve

TRAIN = 3_000


def rotated(noise, width=32, samples=5_000):
    """A space, and the same rotated, scaled, shifted and disturbed."""
    states = normal(samples, width)
    moved = states @ rotation(width, seed=1) + noise * normal(samples, width, seed=2)
    return states, 3 * moved + 5


def retrieved(first, second, method, mean=None):
    centre = second[:TRAIN].mean(axis=0) if mean is None else mean
    return retrieve(
        first[TRAIN:] - centre, second[TRAIN:] - centre, np.arange(len(first) - TRAIN), method
    )


@pytest.mark.parametrize("method", ["cosine", "csls"])
def test_a_rotated_space_is_found_again_both_ways(method):
    first, second = rotated(noise=0)
    alignment = align(first[:TRAIN], second[:TRAIN])
    np.testing.assert_allclose(alignment.rotation, rotation(32, seed=1), atol=1e-9)
    assert alignment.scale == pytest.approx(3)
    np.testing.assert_allclose(alignment.apply(first), second, atol=1e-9)
    found = retrieved(alignment.apply(first), second, method)
    assert found.forward.value == found.backward.value == 1
    assert found.forward.floor < 0.01


@pytest.mark.parametrize(("method", "value"), [("cosine", 0.90), ("csls", 0.91)])
def test_noise_of_one_standard_deviation_in_32_dimensions(method, value):
    first, second = rotated(noise=1)
    alignment = align(first[:TRAIN], second[:TRAIN])
    found = retrieved(alignment.apply(first), second, method)
    assert found.forward.value == pytest.approx(value, abs=0.03)
    assert found.backward.value == pytest.approx(value, abs=0.03)
    assert found.forward.low < found.forward.value < found.forward.high
    before = retrieve(first[TRAIN:], second[TRAIN:] - 5, np.arange(len(first) - TRAIN), method)
    assert before.forward.value < 0.01


def test_cosines_divide_each_row_by_its_own_norm():
    """Dividing by the norm of the matrix, as public code does, finds few words again."""
    states = normal(500, 32) * np.geomspace(0.1, 10, 500)[:, None]
    found = retrieve(states, states, np.arange(500), "cosine")
    assert found.forward.value == 1
    whole = states / np.linalg.norm(states)
    assert (np.argmax(whole @ whole.T, axis=1) == np.arange(500)).mean() < 0.5


def test_csls_is_less_drawn_to_hubs():
    """A word that is near to all others takes their place by cosine, not by CSLS."""
    shared = normal(1, 16, seed=5)
    first = normal(400, 16) + shared
    second = first + 0.8 * normal(400, 16, seed=1)
    second[0] = shared[0]
    scores = {
        method: retrieve(first, second, np.arange(400), method).forward.value
        for method in ("cosine", "csls")
    }
    assert scores["csls"] > scores["cosine"]


def test_unrelated_spaces_are_not_found_again_on_held_out_words():
    first, second = normal(5_000, 32), normal(5_000, 32, seed=1)
    alignment = align(first[:TRAIN], second[:TRAIN])
    found = retrieved(alignment.apply(first), second, "csls")
    assert found.forward.value < 0.005


def test_identical_rows_count_by_their_chance():
    """Ten words with one state: each is found once in ten times, whatever their order."""
    states = np.repeat(normal(20, 8), 10, axis=0)
    for method in ("cosine", "csls"):
        found = retrieve(states, states, np.arange(200), method)
        assert found.forward.value == pytest.approx(0.1)


def test_a_narrower_space_is_padded():
    first = normal(1_000, 8)
    second = first @ np.linalg.qr(normal(12, 12, seed=1))[0][:8] + 2
    alignment = align(first, second)
    assert alignment.rotation.shape == (12, 12)
    np.testing.assert_allclose(alignment.apply(first), second, atol=1e-9)
    back = align(second, first)
    np.testing.assert_allclose(back.apply(second)[:, :8], first, atol=1e-9)


def test_bad_input_is_refused():
    with pytest.raises(RepresentationError, match="unknown method 'dot'"):
        retrieve(normal(20, 4), normal(20, 4), np.arange(20), "dot")
    with pytest.raises(RepresentationError, match="all 20 samples are the same"):
        align(np.ones((20, 4)), normal(20, 4))
