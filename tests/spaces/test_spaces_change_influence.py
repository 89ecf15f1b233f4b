"""Change from layer to layer, and influence on the other words of a sentence."""

import numpy as np
import pytest
from spaces_cases import normal, uneven

from representations.change import change
from representations.errors import RepresentationError
from representations.influence import choose_words, influence
from representations.words import equal_numbers

WORDS, WIDTH = 2_000, 12
SENTENCES = np.arange(WORDS) // 8


def test_a_layer_that_only_maps_its_input_does_not_change_it():
    lower = uneven(WORDS, WIDTH)
    [found] = change(lower, lower @ normal(WIDTH, WIDTH, seed=1) + 4, SENTENCES)
    assert found.value == pytest.approx(0, abs=1e-8)
    assert found.floor > 0.8


def test_the_group_that_changes_is_found():
    lower = uneven(WORDS, WIDTH)
    groups = equal_numbers(np.arange(WORDS) % 2)
    upper = lower + 0.1 * normal(WORDS, WIDTH, seed=1)
    upper[1::2] += normal(WORDS // 2, WIDTH, seed=2)
    quiet, moved = change(lower, upper, SENTENCES, groups, repeats=20)
    assert quiet.high < moved.low
    assert moved.value < moved.floor


def test_groups_that_change_alike_show_no_difference():
    """Nothing is there: the intervals of groups drawn at random overlap."""
    lower = uneven(WORDS, WIDTH)
    upper = lower + normal(WORDS, WIDTH, seed=1)
    groups = equal_numbers(np.random.default_rng(0).integers(3, size=WORDS))
    found = change(lower, upper, SENTENCES, groups, repeats=20)
    assert max(each.low for each in found) < min(each.high for each in found)


def test_a_group_with_too_few_words_is_refused():
    lower = uneven(WORDS, WIDTH)
    with pytest.raises(RepresentationError, match="20 samples are too few"):
        change(lower, lower, SENTENCES, [np.arange(20)])


def test_one_word_of_the_group_is_chosen_in_every_sentence_that_has_one():
    group = np.isin(np.arange(WORDS) % 8, [2, 5]) & (SENTENCES % 2 == 0)
    found = choose_words(group, SENTENCES)
    assert (SENTENCES[found] == np.arange(0, WORDS // 8, 2)).all()
    assert group[found].all()
    assert set(found % 8) == {2, 5}, "chance decides which"
    assert not np.array_equal(found, choose_words(group, SENTENCES, seed=1))


def test_a_group_without_words_is_refused():
    with pytest.raises(RepresentationError, match="may be an empty frequency bin"):
        choose_words(np.zeros(WORDS, dtype=bool), SENTENCES)
    with pytest.raises(RepresentationError, match="no word of the group stands in a sentence with"):
        choose_words([True, False, False], [0, 1, 1])


def test_hiding_a_word_that_told_nothing_has_no_influence():
    """The hidden word's own state may change; the others' do not."""
    plain = uneven(WORDS, WIDTH)
    words = np.arange(0, WORDS, 8)
    hidden = plain.copy()
    hidden[words] = 0
    assert influence(plain, hidden, SENTENCES, words).value == pytest.approx(0, abs=1e-9)


def test_more_influence_is_a_larger_distance_below_the_floor():
    plain, words = uneven(WORDS, WIDTH), np.arange(3, WORDS, 8)
    found = [
        influence(plain, plain + size * normal(WORDS, WIDTH, seed=1), SENTENCES, words, repeats=10)
        for size in (0.1, 0.5, 2)
    ]
    assert found[0].high < found[1].low and found[1].high < found[2].low
    assert found[2].value < found[2].floor


def test_sentences_without_a_hidden_word_are_left_out():
    """They would dilute the influence of a rare group."""
    plain = uneven(WORDS, WIDTH)
    words = np.arange(0, WORDS // 2, 8)
    hidden = plain.copy()
    hidden[: WORDS // 2] += normal(WORDS // 2, WIDTH, seed=1)
    whole = influence(plain, hidden, SENTENCES, words).value
    half = slice(0, WORDS // 2)
    assert whole == influence(plain[half], hidden[half], SENTENCES[half], words).value


def test_as_many_words_can_be_asked_for_in_every_group():
    plain, words = uneven(WORDS, WIDTH), np.arange(0, WORDS, 8)
    hidden = plain + normal(WORDS, WIDTH, seed=1)
    assert influence(plain, hidden, SENTENCES, words, samples=100).floor < 0.75
    with pytest.raises(RepresentationError, match="1750 other words are left, needed are 1800"):
        influence(plain, hidden, SENTENCES, words, samples=1_800)


def test_two_hidden_words_in_a_sentence_are_refused():
    plain = uneven(WORDS, WIDTH)
    with pytest.raises(RepresentationError, match="2 words of one sentence are hidden"):
        influence(plain, plain, SENTENCES, [0, 1])
