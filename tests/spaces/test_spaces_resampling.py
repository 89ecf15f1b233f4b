"""Floors and intervals, which all measures share."""

import numpy as np
import pytest
from spaces_cases import normal, uneven

from representations.pwcca import pwcca
from representations.resampling import estimate, half_samples, interval, interval_of_mean


def test_the_interval_of_a_mean_is_the_textbook_one():
    """± 1.96 standard errors, where every word is a sentence of its own."""
    values = normal(400)
    low, high = interval_of_mean(values, np.arange(400), repeats=400)
    expected = 1.96 * values.std(ddof=1) / np.sqrt(400)
    assert (high - low) / 2 == pytest.approx(expected, rel=0.12)
    assert (high + low) / 2 == pytest.approx(values.mean())


def test_words_of_a_sentence_count_as_one_where_they_are_alike():
    """Ten copies of each value, in one sentence, are no ten times as much evidence."""
    values = normal(400)
    plain = interval_of_mean(values, np.arange(400), repeats=200)
    copied = interval_of_mean(np.repeat(values, 10), np.repeat(np.arange(400), 10), repeats=200)
    assert copied == pytest.approx(plain)


def test_halves_hold_whole_sentences_and_no_word_twice():
    sentences = np.repeat(["b", "a", "c", "d"], [5, 2, 4, 3])
    for rows in half_samples(sentences, 20, seed=0):
        assert len(set(rows)) == len(rows)
        chosen = set(sentences[rows])
        assert len(chosen) == 2
        assert len(rows) == np.isin(sentences, list(chosen)).sum()


def test_too_few_sentences_or_halves_that_are_too_small_have_no_interval():
    assert np.isnan(interval_of_mean(normal(30), np.arange(30) // 10)).all()
    x = uneven(50, 16)
    found = estimate(pwcca, x, x + normal(50, 16), np.arange(50))
    assert np.isfinite(found.value) and np.isfinite(found.floor)
    assert np.isnan(found.low) and np.isnan(found.high)


def test_mistakes_in_a_measure_are_not_taken_for_missing_intervals():
    def broken(rows):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interval(broken, np.arange(30), 0.0)


def test_the_same_seed_gives_the_same_numbers():
    x, y = uneven(200, 6), normal(200, 6, seed=1)
    first, again = (estimate(pwcca, x, y, np.arange(200), seed=4) for _ in range(2))
    assert first == again
    assert first.floor != estimate(pwcca, x, y, np.arange(200), seed=5).floor
