"""Representations over training beside the loss change of the same layers and intervals."""

import numpy as np
import pytest
from spaces_cases import normal, uneven

from representations.covariances import covariances_of
from representations.errors import RepresentationError
from representations.over_training import (
    intervals_of,
    relate,
    svcca_distance_of,
)


def test_a_relation_beyond_the_means_is_found():
    shared = normal(12, 9)
    found = relate(shared + 0.3 * normal(12, 9, seed=1), shared + 0.3 * normal(12, 9, seed=2))
    assert found.correlation > 0.7
    assert len(found.null) == 8 and found.null.max() < found.correlation
    assert found.p_value == pytest.approx(1 / 9)


def test_tables_that_share_only_their_means_are_not_related():
    """Both fall over training and grow with depth, as everything does under one learning rate."""
    common = np.linspace(0, 30, 12)[:, None] + np.linspace(30, 0, 9)
    first, second = common + normal(12, 9), common + normal(12, 9, seed=1)
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.95
    found = relate(first, second)
    assert abs(found.correlation) < 0.25
    assert found.p_value > 0.15


def test_unrelated_tables_rarely_reach_a_low_p_value():
    """With nine intervals the smallest is 1/9, and one in nine unrelated pairs reaches it."""
    values = [
        relate(normal(6, 9, seed=2 * seed), normal(6, 9, seed=2 * seed + 1)).p_value
        for seed in range(300)
    ]
    assert np.mean(np.array(values) < 0.12) == pytest.approx(1 / 9, abs=0.06)
    assert np.mean(values) == pytest.approx(5 / 9, abs=0.06)


def test_intervals_are_shifted_with_all_layers_together():
    """Layers that all move at the same time count once: their course is kept."""
    course = np.sin(2 * np.pi * np.arange(9) / 9)
    table = np.outer(normal(12), course) + 0.01 * normal(12, 9)
    found = relate(table, table)
    assert found.correlation == pytest.approx(1)
    assert found.null.max() > 0.5, "the null knows how alike neighbouring intervals are"


def test_the_null_is_the_correlation_with_each_shift():
    first, second = normal(5, 7), normal(5, 7, seed=1)
    found = relate(first, second)
    for shift in range(1, 7):
        shifted = relate(first, np.roll(second, shift, axis=1))
        assert found.null[shift - 1] == pytest.approx(shifted.correlation)


def test_adding_means_and_scaling_change_nothing():
    first, second = normal(5, 7), normal(5, 7, seed=1)
    moved = 3 * second + normal(5, 1, seed=2) + normal(1, 7, seed=3)
    assert relate(first, moved).correlation == pytest.approx(relate(first, second).correlation)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (normal(5, 7), normal(7, 5), "the same layer and interval"),
        (normal(5, 3), normal(5, 3), "5 layers and 3 intervals; needed are at least 2 and 4"),
        (
            np.arange(5.0)[:, None] + np.arange(7.0),
            normal(5, 7),
            "first table is nothing but means",
        ),
        (np.full((5, 7), np.nan), normal(5, 7), "first table: 5 of 5 samples hold what is not"),
    ],
    ids=["shapes", "few", "means", "nan"],
)
def test_tables_without_an_answer_are_refused(first, second, message):
    with pytest.raises(RepresentationError, match=message):
        relate(first, second)


def test_snapshots_that_drift_less_and_less_are_nearer_and_nearer():
    """d(t, t + 1) is that of the step, and 0 where nothing moves; permuted words are far apart."""
    drift = normal(1_000, 8, seed=1)
    snapshots = [uneven(1_000, 8) + size * drift for size in (0.0, 1.0, 1.2, 1.2)]
    steps = [covariances_of(snapshots[a], snapshots[b]) for a, b in intervals_of(range(4))]
    first, second, none = (svcca_distance_of(step) for step in steps)
    assert first > second > 1e-4 and none == pytest.approx(0, abs=1e-8)
    assert min(svcca_distance_of(step, permuted=True) for step in steps) > 0.85


def test_snapshots_out_of_order_are_refused():
    with pytest.raises(RepresentationError, match=r"\[0, 20, 10\] do not ascend"):
        intervals_of([0, 20, 10])
