"""Mutual information of states and types, and its correction."""

import numpy as np
import pytest
from spaces_cases import normal

from representations.errors import RepresentationError
from representations.information import (
    cluster,
    cluster_information,
    entropy,
    most_frequent_types,
    mutual_information,
    type_information,
)


def test_entropy_and_information_by_hand():
    assert entropy(["a", "b", "a", "b"]) == pytest.approx(np.log(2))
    assert mutual_information([0, 0, 1, 1], ["x", "x", "y", "y"]) == pytest.approx(np.log(2))
    assert mutual_information([0, 0, 1, 1], ["x", "y", "x", "y"]) == 0
    # Three of four tell: H(X) + H(Y) - H(X, Y).
    expected = 2 * entropy([0, 0, 0, 1]) - entropy([0, 0, 0, 1])
    assert mutual_information([5, 5, 5, 9], [1, 1, 1, 0]) == pytest.approx(expected)


def test_separated_clusters_know_the_type():
    """The plug-in value is H(type)."""
    types = np.random.default_rng(0).integers(20, size=4_000)
    states = 10 * normal(20, 32)[types] + normal(4_000, 32, seed=1)
    found = type_information(states, types, np.arange(4_000) // 10, clusters=60)
    assert found.nats.value == pytest.approx(found.entropy, abs=1e-6)
    assert found.entropy == pytest.approx(np.log(20), abs=0.01)
    assert found.share.value == pytest.approx(1 - found.nats.floor / found.entropy)


def test_noise_knows_nothing_after_the_correction():
    """The plug-in value of noise is far from 0, its difference from permuted labels is not."""
    types = np.random.default_rng(0).integers(50, size=5_000)
    found = type_information(normal(5_000, 16), types, np.arange(5_000) // 10, clusters=200)
    assert found.nats.value > 0.5
    assert found.share.value == pytest.approx(0, abs=0.01)
    assert abs(found.share.floor) < 0.01
    assert found.share.low < 0.005 and found.share.high > -0.005


def test_less_noise_knows_more():
    types = np.random.default_rng(0).integers(20, size=3_000)
    centres, noise = normal(20, 16)[types], normal(3_000, 16, seed=1)
    shares = [
        type_information(centres + size * noise, types, np.arange(3_000), 60, repeats=0).share.value
        for size in (0.3, 1, 3, 10)
    ]
    assert (np.diff(shares) < 0).all()


def test_the_floor_is_large_where_samples_are_few():
    types = np.random.default_rng(0).integers(100, size=20_000)
    clusters = np.random.default_rng(1).integers(200, size=20_000)
    many = cluster_information(clusters, types, np.arange(20_000), repeats=0)
    few = cluster_information(clusters[:5_000], types[:5_000], np.arange(5_000), repeats=0)
    assert few.nats.floor > 2 * many.nats.floor
    assert few.share.value == pytest.approx(many.share.value, abs=0.01)


def test_input_and_output_share_the_clusters():
    """States that tell the next word tell nothing of the present one."""
    draw = np.random.default_rng(0)
    now, following = draw.integers(10, size=(2, 4_000))
    found = cluster(6 * normal(10, 16)[following] + normal(4_000, 16, seed=1), 30)
    sentences = np.arange(4_000) // 10
    assert cluster_information(found, following, sentences).share.low > 0.8
    assert abs(cluster_information(found, now, sentences).share.value) < 0.01


def test_the_same_seed_gives_the_same_numbers():
    states, types = normal(600, 8), np.arange(600) % 12
    first, again = (type_information(states, types, np.arange(600), 20, seed=3) for _ in range(2))
    assert first == again


def test_the_most_frequent_types():
    types = ["b", "a", "b", "c", "c", "b", "d"]
    assert most_frequent_types(types, 2).tolist() == [0, 2, 3, 4, 5]
    assert most_frequent_types(types, 3).tolist() == [0, 1, 2, 3, 4, 5]


def test_one_word_type_is_refused():
    with pytest.raises(RepresentationError, match="all 40 samples are of one word type"):
        type_information(normal(40, 4), np.zeros(40), np.arange(40), clusters=5)


def test_more_clusters_than_states_are_refused():
    with pytest.raises(RepresentationError, match="40 states cannot be divided into 50 clusters"):
        type_information(normal(40, 4), np.arange(40) % 4, np.arange(40), clusters=50)
