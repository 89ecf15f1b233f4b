"""Rank statistics within layers: they find what is there, and nothing where nothing is."""

import itertools

import numpy as np
import pytest
from head_models import random_batch, with_identical_heads
from scipy import stats

from attention_heads.ablation import ablate
from attention_heads.confidence import confidence
from attention_heads.errors import HeadsError
from attention_heads.importance import importance
from attention_heads.quantities import Blocks, Fixed, Sentences
from attention_heads.rank_statistics import (
    holm,
    layer_ranks,
    within_layer_auc,
    within_layer_spearman,
)
from attention_heads.relations import rank_agreement, survival_agreement
from attention_heads.relevance import relevance


def draw(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def test_the_statistic_is_the_mean_of_each_layers_rank_correlation():
    x, y = draw((4, 8), 1), np.round(draw((4, 8), 2))  # y has ties
    expected = np.mean([stats.spearmanr(a, b).statistic for a, b in zip(x, y)])
    assert within_layer_spearman(x, y) == pytest.approx(expected)
    many = within_layer_spearman(np.stack([x, -x]), y)
    np.testing.assert_allclose(many, [expected, -expected])


def test_differences_between_layers_are_not_agreement():
    levels = 100 * np.arange(12)[:, None]
    x, y = Fixed(draw((12, 8), 1) + levels), Fixed(draw((12, 8), 2) + levels)
    assert stats.spearmanr(x.value.ravel(), y.value.ravel()).pvalue < 1e-6
    found = rank_agreement(x, y, seed=0, draws=2000)
    assert abs(found.value) < 0.25 and found.p_value > 0.05


def test_the_null_of_twelve_layers_of_eight_heads_reaches_021():
    found = rank_agreement(Fixed(draw((12, 8), 1)), Fixed(draw((12, 8), 2)), seed=0)
    assert found.null == pytest.approx((-0.21, 0.21), abs=0.015)
    six = rank_agreement(Fixed(draw((6, 8), 1)), Fixed(draw((6, 8), 2)), seed=0)
    assert six.null == pytest.approx((-0.30, 0.30), abs=0.02)


@pytest.mark.slow
def test_independent_quantities_are_significant_as_rarely_as_they_should_be():
    levels = 10 * np.arange(12)[:, None]
    p_values = [
        rank_agreement(
            Fixed(draw((12, 8), seed) + levels), Fixed(draw((12, 8), 999 + seed) + levels),
            seed, draws=300,
        ).p_value
        for seed in range(200)
    ]  # fmt: skip
    # 200 x 0.05 = 10 with a standard deviation of 3.
    assert 1 <= sum(p < 0.05 for p in p_values) <= 20
    assert stats.kstest(p_values, "uniform").pvalue > 0.001


def test_an_agreement_is_found_with_its_interval_and_reliability():
    truth = draw((6, 8), 1)
    x = Blocks(truth / 20 + 0.02 * draw((20, 6, 8), 2))
    y = Sentences(truth + draw((50, 6, 8), 3), np.ones(50))
    found = rank_agreement(x, y, seed=0)
    assert found.value > 0.8 and found.p_value == pytest.approx(1 / 10_001)
    assert 0.5 < found.interval[0] < found.value < found.interval[1] <= 1
    assert found.layers == 6 and found.reason is None
    assert all(0.7 < each < 1 for each in found.reliability)
    again = rank_agreement(x, y, seed=0)
    assert (again.null, again.interval) == (found.null, found.interval)


def test_what_both_owe_to_a_third_quantity_is_taken_out():
    third = draw((12, 8), 1)
    x, y = Fixed(third + 0.3 * draw((12, 8), 2)), Fixed(third + 0.3 * draw((12, 8), 3))
    assert rank_agreement(x, y, 0, draws=1000).p_value < 0.01
    partial = rank_agreement(x, y, 0, given=Fixed(third), draws=1000)
    assert abs(partial.value) < 0.2 and partial.p_value > 0.05
    # Against the formula from the three pairs, layer by layer.
    expected = []
    for a, b, c in zip(x.value, y.value, third):
        ab, ac, bc = (stats.spearmanr(p, q).statistic for p, q in ((a, b), (a, c), (b, c)))
        expected.append((ab - ac * bc) / np.sqrt((1 - ac**2) * (1 - bc**2)))
    assert partial.value == pytest.approx(np.mean(expected))


def measure(handle):
    """Everything that heads can be compared by."""
    batches = [random_batch(20, 8, seed=seed) for seed in (1, 2)]
    rise, slope = ablate(handle, batches)["decoder"], importance(handle, batches)["decoder"]
    passed, sure = relevance(handle, batches, 0)["decoder"], confidence(handle, batches)["decoder"]
    return [
        Sentences(rise.by_sentence, rise.targets),
        Sentences(slope.by_sentence, slope.targets),
        Sentences(passed.shares_by_sentence, np.ones(40)),
        Sentences(sure.by_sentence, sure.queries),
    ]


@pytest.mark.usefixtures("one_thread")
def test_nothing_is_significant_in_layers_of_identical_heads():
    for x, y in itertools.combinations(measure(with_identical_heads()), 2):
        assert np.abs(x.value).max() > 1e-4
        found = rank_agreement(x, y, seed=0)
        assert np.isnan(found.value) and np.isnan(found.p_value)
        assert "the heads are all alike" in found.reason


@pytest.mark.usefixtures("one_thread")
def test_a_layer_of_identical_heads_does_not_count():
    for x, y in itertools.combinations(measure(with_identical_heads(layers=1)), 2):
        assert rank_agreement(x, y, seed=0, draws=10).layers == 1


def test_rounding_errors_are_ties():
    values = np.array([[0.5, 0.5 + 1e-9, 0.5 - 1e-9, 0.7], [1.0, 1 + 1e-8, 1 - 1e-8, 1.0]])
    ranks = layer_ranks(values)
    assert ranks[0, 0] == ranks[0, 1] == ranks[0, 2] < ranks[0, 3]
    assert np.isnan(ranks[1]).all()
    assert np.isnan(layer_ranks(np.zeros((1, 4)))).all()


def test_layers_that_cannot_be_ranked_are_left_out():
    x, y = draw((3, 8), 1), draw((3, 8), 2)
    x[1], y[2, 3] = 0.5, np.nan
    found = rank_agreement(Fixed(x), Fixed(y), seed=0, draws=100)
    assert found.layers == 1
    assert found.value == pytest.approx(stats.spearmanr(x[0], y[0]).statistic)


def test_one_head_per_layer_cannot_tell():
    one = Fixed(draw((6, 1)))
    found = rank_agreement(one, one, seed=0)
    assert np.isnan(found.value) and found.reason.startswith("1 head(s) per layer")


def test_quantities_of_different_models_are_refused():
    with pytest.raises(HeadsError, match="of one shape"):
        rank_agreement(Fixed(draw((6, 8))), Fixed(draw((12, 8))), seed=0)


def test_holm_raises_the_smallest_p_value_most():
    found = holm(np.array([0.01, 0.04, np.nan, 0.03]))
    np.testing.assert_allclose(found, [0.03, 0.06, np.nan, 0.06])
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]


def test_auc_compares_kept_and_pruned_heads_of_a_layer():
    values = np.array([[4.0, 3.0, 2.0, 1.0], [1.0, 1.0, 9.0, 9.0]])
    kept = np.array([[True, False, True, False], [True, False, False, False]])
    # Layer 0: 3 of 4 pairs won; layer 1: one tie, two lost.
    assert within_layer_auc(values, kept) == pytest.approx(3.5 / 7)
    assert np.isnan(within_layer_auc(values, np.ones((2, 4), bool)))


def test_survival_is_predicted_by_what_decided_it_and_by_nothing_else():
    worth = draw((12, 8), 1)
    kept = worth > 0
    found = survival_agreement(Sentences(worth + draw((40, 12, 8), 2), np.ones(40)), kept, 0, 2000)
    assert found.value > 0.9 and found.p_value < 0.001 and found.interval[0] > 0.8
    other = survival_agreement(Fixed(draw((12, 8), 5)), kept, 0, draws=2000)
    assert other.p_value > 0.05 and other.null[0] < 0.5 < other.null[1]


@pytest.mark.parametrize("kept", [True, False])
def test_where_all_heads_or_none_survive_it_cannot_tell(kept):
    found = survival_agreement(Fixed(draw((6, 8))), np.full((6, 8), kept), seed=0)
    assert np.isnan(found.value)
    assert found.reason == "no layer keeps some of its heads and loses others"


def test_sentences_are_weighed_and_missing_values_left_out():
    values = np.array([[[1.0, 4.0]], [[3.0, np.nan]], [[50.0, 50.0]]])
    found = Sentences(values, np.array([1, 3, 0]))
    np.testing.assert_allclose(found.value, [[2.5, 4.0]])
    first, second = found.halves()
    np.testing.assert_allclose(first, [[1.0, 4.0]])
    np.testing.assert_allclose(second, [[3.0, np.nan]])


def test_quantities_of_the_same_sentences_are_resampled_together():
    values = draw((30, 4, 8), 1)
    x, y = Sentences(values, np.ones(30)), Sentences(values * 2 + 1, np.ones(30))
    found = rank_agreement(x, y, seed=0, draws=100)
    assert found.value == pytest.approx(1) and found.interval == pytest.approx((1, 1))


@pytest.mark.slow
def test_nineteen_of_twenty_intervals_hold_what_the_measurement_gives_on_average():
    truth = draw((6, 8), 1)
    found = []
    for seed in range(100):
        x = Blocks(truth / 20 + 0.1 * draw((20, 6, 8), 1000 + seed))
        y = Sentences(0.3 * truth + draw((50, 6, 8), 5000 + seed), np.ones(50))
        found.append(rank_agreement(x, y, seed=seed, draws=10))
    mean = np.mean([each.value for each in found])
    held = sum(each.interval[0] <= mean <= each.interval[1] for each in found)
    assert 0.6 < mean < 0.95 and 88 <= held <= 100


def test_resampling_keeps_the_mean():
    x = Blocks(draw((30, 2, 3), 1) + 1)
    drawn = x.resampled(4000, seed=0)
    spread = x.values.std(0) * np.sqrt(30)
    np.testing.assert_allclose(drawn.mean(0), x.value, atol=0.1 * spread.max())
    np.testing.assert_allclose(drawn.std(0), spread, rtol=0.1)
