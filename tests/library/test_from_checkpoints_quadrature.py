"""The rule that splits an interval, on ways whose loss change is known."""

import numpy as np
import pytest

from losschange.checkpoints.quadrature import Evaluation, simpson, trapezoid


def way(loss, slopes):
    """A path on which loss and slopes are functions of the share; counts evaluations."""
    looks = []

    def evaluate(share):
        looks.append(share)
        return Evaluation(share, loss(share), np.atleast_1d(slopes(share)))

    return evaluate, looks


@pytest.mark.parametrize("degree", [1, 2, 3, 4, 5])
def test_simpson_is_exact_up_to_degree_four_and_the_trapezoid_to_two(degree):
    evaluate, looks = way(lambda s: s**degree, lambda s: degree * s ** (degree - 1))
    first, last = evaluate(0.0), evaluate(1.0)
    found = simpson(evaluate, first, last, tolerance=1e-12, most=1)
    assert (abs(found.cells.sum() - 1) < 1e-12) == (degree <= 4)
    assert (abs(trapezoid(first, last).sum() - 1) < 1e-12) == (degree <= 2)
    assert looks == [0, 1, 0.5] and found.evaluations == 1


def test_only_the_piece_with_the_kink_is_split():
    """A slope that jumps, as where a ReLU switches, is bisected; the rest is left alone."""
    kink = 0.3
    evaluate, looks = way(lambda s: max(0.0, s - kink), lambda s: float(s > kink))
    found = simpson(evaluate, evaluate(0.0), evaluate(1.0), tolerance=1e-3, most=65)
    assert found.missed <= 1e-3
    assert abs(found.cells.sum() - 0.7) <= 1e-3
    assert found.evaluations < 25  # halving everywhere would take 2 ** 9
    assert np.median(np.abs(np.array(looks) - kink)) < 0.05


def test_errors_of_opposite_sign_do_not_hide_each_other():
    """Two kinks whose errors cancel in the whole: the cells would be wrong, the sum right."""

    def slopes(share):
        return np.array([float(share > 0.3), -float(share > 0.7)])

    evaluate, _ = way(lambda s: max(0.0, s - 0.3) - max(0.0, s - 0.7), slopes)
    found = simpson(evaluate, evaluate(0.0), evaluate(1.0), tolerance=1e-3, most=101)
    assert found.missed <= 1e-3
    np.testing.assert_allclose(found.cells.sum(), 0.4, atol=1e-3)


def test_the_limit_of_evaluations_holds_and_what_is_missed_is_told():
    evaluate, looks = way(lambda s: np.sin(40 * s), lambda s: 40 * np.cos(40 * s))
    found = simpson(evaluate, evaluate(0.0), evaluate(1.0), tolerance=1e-9, most=9)
    assert len(looks) == 2 + found.evaluations and found.evaluations == 9
    assert found.missed > 1e-9


def test_a_piece_is_not_split_below_the_rounding_of_its_loss():
    """Noise of a float32 loss cannot be split away: nothing is wasted on it."""
    generator = np.random.default_rng(0)
    evaluate, _ = way(lambda s: 10 + s + 1e-6 * generator.uniform(-1, 1), lambda s: 1.0)
    found = simpson(evaluate, evaluate(0.0), evaluate(1.0), tolerance=1e-9, most=1001)
    assert found.evaluations < 10


def test_where_nothing_moves_nothing_is_found():
    evaluate, _ = way(lambda s: 3.0, lambda s: np.zeros(4))
    found = simpson(evaluate, evaluate(0.0), evaluate(1.0), tolerance=1e-9, most=65)
    assert found.missed == 0 and not found.cells.any() and found.evaluations == 1
