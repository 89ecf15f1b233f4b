"""Contextuality: self-similarity of word types and intra-sentence similarity."""

import numpy as np
import pytest
from spaces_cases import normal

from representations.contextuality import intra_sentence_similarity, self_similarity
from representations.errors import RepresentationError
from representations.isotropy import average_similarity


def test_self_similarity_is_the_mean_over_pairs_of_occurrences():
    states, types = normal(30, 6), np.repeat([3, 8, 5], 10)
    found = self_similarity(states, types, np.arange(30))
    unit = states / np.linalg.norm(states, axis=1, keepdims=True)
    for place, name in enumerate([3, 5, 8]):
        own = unit[types == name]
        pairs = (own @ own.T)[np.triu_indices(10, 1)]
        assert found.values[place] == pytest.approx(pairs.mean(), abs=1e-12)
    assert found.mean.value == pytest.approx(found.values.mean())
    expected = found.mean.value - average_similarity(states)
    assert found.corrected.value == pytest.approx(expected)


def test_states_that_ignore_the_sentence_have_self_similarity_one():
    types = np.arange(400) % 20
    found = self_similarity(normal(20, 32)[types], types, np.arange(400) // 8)
    assert found.mean.value == pytest.approx(1)
    assert found.mean.floor < 0.1


def test_states_that_ignore_the_word_have_none_beyond_the_average():
    """Nothing is there: all states share a direction, but none knows its type."""
    types = np.arange(2_000) % 20
    found = self_similarity(normal(2_000, 64) + 1, types, np.arange(2_000) // 10)
    assert found.mean.value == pytest.approx(0.5, abs=0.02)
    assert found.mean.value == pytest.approx(found.mean.floor, abs=5e-3)
    assert abs(found.corrected.value) < 5e-3
    assert found.corrected.low < 0 < found.corrected.high


def test_rare_types_are_left_out_and_frequent_ones_are_sampled():
    types = np.repeat([0, 1, 2], [4, 5, 60])
    found = self_similarity(normal(69, 8), types, np.arange(69), least=5, most=20)
    assert found.types.tolist() == [1, 2]
    assert found.occurrences.tolist() == [5, 20]


def test_one_word_type_is_refused():
    with pytest.raises(RepresentationError, match="1 word types occur at least 5 times"):
        self_similarity(normal(30, 4), np.zeros(30), np.arange(30))


@pytest.mark.parametrize(("length", "floor"), [(5, 0.447), (10, 0.316), (25, 0.200)])
def test_unrelated_words_reach_one_over_root_n_and_zero_left_out(length, floor):
    """The paper's intra-sentence similarity has a floor of 1/√n, not the average similarity."""
    sentences = np.repeat(np.arange(200), length)
    found = intra_sentence_similarity(normal(len(sentences), 512), sentences)
    assert found.raw.value == pytest.approx(floor, abs=3e-3)
    assert found.raw.floor == pytest.approx(floor, abs=3e-3)
    assert found.leave_one_out.value == pytest.approx(0, abs=4e-3)
    assert found.leave_one_out.low < 0 < found.leave_one_out.high


def test_words_of_a_sentence_that_are_alike_are_found():
    sentences = np.repeat(np.arange(100), 8)
    states = normal(100, 32)[sentences] + 0.1 * normal(800, 32, seed=1)
    found = intra_sentence_similarity(states, sentences)
    assert found.leave_one_out.low > 0.9
    assert abs(found.leave_one_out.floor) < 0.05


def test_intra_sentence_similarity_of_two_words_by_hand():
    states = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0], [2.0, 0.0], [3.0, 1.0]])
    found = intra_sentence_similarity(states, [7, 7, 4, 4, 9])
    assert found.sentences.tolist() == [0, 1], "the sentence of one word is left out"
    np.testing.assert_allclose(found.values, [[1.0, 1.0], [np.sqrt(0.5), 0.0]], atol=1e-12)


def test_sentences_of_one_word_alone_are_refused():
    with pytest.raises(RepresentationError, match="no sentence has two words"):
        intra_sentence_similarity(normal(5, 3), np.arange(5))
