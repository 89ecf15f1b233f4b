"""Isotropy: average similarity, distances and their distributions."""

import numpy as np
import pytest
from spaces_cases import normal, rotation

from representations.errors import RepresentationError
from representations.isotropy import (
    average_similarity,
    average_squared_distance,
    estimate_average_similarity,
    sample_pairs,
)


def test_average_similarity_is_the_mean_over_all_pairs():
    """The exact formula agrees with every pair looked at."""
    states = normal(40, 7) + 0.3
    unit = states / np.linalg.norm(states, axis=1, keepdims=True)
    pairs = (unit @ unit.T)[np.triu_indices(40, 1)]
    assert average_similarity(states) == pytest.approx(pairs.mean(), abs=1e-13)


def test_average_squared_distance_is_the_mean_over_all_pairs():
    states = normal(40, 7) + 0.3
    squares = np.square(states[:, None] - states).sum(axis=2)[np.triu_indices(40, 1)]
    assert average_squared_distance(states) == pytest.approx(squares.mean())


def test_a_shared_direction_as_long_as_the_noise_gives_one_half():
    """x + 1 of a standard normal has an average similarity of .5."""
    assert average_similarity(normal(3_000, 512) + 1) == pytest.approx(0.5, abs=0.01)


def test_average_similarity_does_not_depend_on_axes_or_lengths():
    states = normal(200, 16) + 0.5
    longer = states @ rotation(16) * np.linspace(1, 50, 200)[:, None]
    assert average_similarity(longer) == pytest.approx(average_similarity(states))


def test_states_without_a_shared_direction_stay_at_the_floor():
    """Nothing is there: value and floor are near 0, and 0 lies in the interval."""
    found = estimate_average_similarity(normal(2_000, 64), np.arange(2_000) // 10)
    assert abs(found.value) < 2e-3 and abs(found.floor) < 2e-3
    assert found.low < 0 < found.high


def test_a_shared_direction_is_far_above_the_floor():
    found = estimate_average_similarity(normal(2_000, 64) + 1, np.arange(2_000) // 10)
    assert found.low > 0.45 and abs(found.floor) < 2e-3


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """Over 60 drawn sets of states with an average similarity of exactly .5 in the limit."""
    hits = 0
    for seed in range(60):
        states = np.repeat(normal(60, 64, seed=seed), 2, axis=0) + 1
        found = estimate_average_similarity(states, np.arange(120) // 2, 40, seed)
        # Every state occurs twice: that pair has cosine 1 among 119.
        truth = (118 * 0.5 + 1) / 119
        hits += found.low <= truth <= found.high
    assert hits >= 50


def test_pairs_come_from_different_sentences_and_have_the_exact_mean():
    states, sentences = normal(300, 20) + 0.5, np.arange(300) // 3
    found = sample_pairs(states, sentences, 20_000)
    assert len(found.cosine) == 20_000
    assert (sentences[found.first] != sentences[found.second]).all()
    assert found.cosine.mean() == pytest.approx(average_similarity(states), abs=0.01)
    difference = states[found.first[7]] - states[found.second[7]]
    assert found.euclid[7] == pytest.approx(np.linalg.norm(difference))
    np.testing.assert_allclose(found.norms, np.linalg.norm(states, axis=1))


def test_words_of_short_sentences_do_not_weigh_more():
    """Half of the words stand in one long sentence, so half of the pairs touch it."""
    sentences = np.append(np.zeros(100, dtype=int), np.arange(1, 101))
    found = sample_pairs(normal(200, 4), sentences, 20_000)
    # Chance that exactly one of two words of different sentences is from the long one.
    expected = 100 * 100 / (100 * 100 + 100 * 99 / 2)
    touched = ((found.first < 100) | (found.second < 100)).mean()
    assert touched == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    ("states", "message"),
    [
        (np.ones((1, 3)), "1 samples, needed are at least 2"),
        (np.ones(3), "expected \\(samples, dimensions\\)"),
        (np.array([[1.0, np.nan], [1.0, 2.0]]), "the first of them sample 0"),
        (np.array([[1.0, 2.0], [0.0, 0.0]]), "1 of 2 samples are zero, the first of them sample 1"),
    ],
    ids=["one", "flat", "nan", "zero"],
)
def test_bad_states_are_refused_in_a_sentence(states, message):
    with pytest.raises(RepresentationError, match=message):
        average_similarity(states)


def test_words_of_a_single_sentence_make_no_pairs():
    with pytest.raises(RepresentationError, match="all words stand in one sentence"):
        sample_pairs(normal(5, 3), np.zeros(5))
