"""Nearest words of other sentences, and what they share."""

import numpy as np
import pytest
from spaces_cases import normal

from representations import neighbours
from representations.errors import RepresentationError
from representations.neighbours import nearest, position_distance, share_with_same


@pytest.mark.parametrize("block", [7, 512])
def test_the_nearest_are_those_of_all_cosines_outside_the_sentence(monkeypatch, block):
    monkeypatch.setattr(neighbours, "BLOCK", block)
    states, sentences = normal(60, 8), np.arange(60) // 4
    found = nearest(states, sentences, k=5)
    unit = states / np.linalg.norm(states, axis=1, keepdims=True)
    cosines = np.where(sentences[:, None] == sentences, -np.inf, unit @ unit.T)
    expected = np.argsort(-cosines, axis=1)[:, :5]
    assert (np.sort(found, axis=1) == np.sort(expected, axis=1)).all()


def test_lengths_of_states_do_not_matter():
    states, sentences = normal(60, 8), np.arange(60) // 4
    longer = states * np.geomspace(0.01, 100, 60)[:, None]
    found, again = nearest(states, sentences), nearest(longer, sentences)
    assert (np.sort(found, axis=1) == np.sort(again, axis=1)).all()


def test_words_that_are_equally_near_are_drawn_by_chance():
    """With identical states no word is everybody's neighbour for its place in memory."""
    found = nearest(np.ones((1_000, 4)), np.arange(1_000) // 2, k=10)
    assert np.bincount(found.ravel() // 100, minlength=10).max() < 0.6 * found.size
    labels = np.arange(1_000) % 5
    share = share_with_same(found, labels, np.arange(1_000) // 2)
    assert share.value == pytest.approx(0.2, abs=0.1)


def test_states_of_the_word_find_the_same_word():
    types = np.random.default_rng(0).integers(10, size=800)
    left = np.random.default_rng(1).integers(10, size=800).astype(str)
    states = 10 * normal(10, 16)[types] + normal(800, 16, seed=2)
    sentences = np.arange(800) // 8
    found = nearest(states, sentences)
    same = share_with_same(found, types, sentences)
    assert same.value == pytest.approx(1, abs=1e-3)
    assert same.floor == pytest.approx(0.1, abs=0.02)
    # Nothing of the left neighbour is in the states.
    other = share_with_same(found, left, sentences)
    assert other.value == pytest.approx(other.floor, abs=0.02)
    assert other.low < 0.1 < other.high + 0.01


def test_unrelated_states_share_what_chance_gives():
    types = np.random.default_rng(0).integers(10, size=1_000)
    sentences = np.arange(1_000) // 8
    share = share_with_same(nearest(normal(1_000, 16), sentences), types, sentences)
    assert share.value == pytest.approx(0.1, abs=0.01)
    assert share.value == pytest.approx(share.floor, abs=0.01)


def test_words_without_a_label_are_neither_asked_nor_matched():
    """Beginnings of sentences have no left neighbour, and do not share it."""
    found = np.array([[1], [0], [3], [2]])
    labels = np.array(["", "", "a", "a"])
    assert share_with_same(found, labels, [0, 1, 2, 3]).value == 1
    assert share_with_same(np.array([[1], [0], [1], [0]]), labels, [0, 1, 2, 3]).value == 0
    with pytest.raises(RepresentationError, match="no word has a label"):
        share_with_same(found, np.array([""] * 4), [0, 1, 2, 3])


def test_position_distance_is_that_of_neighbours_of_the_same_type():
    found = np.array([[1, 2], [0, 2], [0, 1], [0, 1]])
    distance = position_distance(found, [7, 7, 7, 8], [0, 2, 6, 1], np.arange(4))
    assert distance.value == pytest.approx(np.mean([2, 6, 2, 4, 6, 4]))


def test_states_that_know_their_position_have_near_neighbours():
    draw = np.random.default_rng(0)
    types, positions = draw.integers(3, size=900), draw.integers(20, size=900)
    sentences = np.arange(900) // 3
    angles = positions[:, None] / 20 * np.pi
    circle = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
    known = np.append(3 * np.eye(3)[types], 2 * circle, axis=1)
    near = nearest(known + 0.01 * normal(900, 5), sentences)
    found = position_distance(near, types, positions, sentences)
    assert found.high < 1
    assert found.floor == pytest.approx(20 / 3, abs=0.5)
    blind = nearest(3 * np.eye(3)[types] + 0.01 * normal(900, 3), sentences)
    nothing = position_distance(blind, types, positions, sentences)
    assert nothing.value == pytest.approx(nothing.floor, abs=0.3)


def test_neighbours_of_other_types_alone_have_no_position_distance():
    found = position_distance(np.array([[1], [0]]), ["a", "b"], [0, 1], [0, 1])
    assert np.isnan(found).all()


def test_too_few_words_outside_the_sentence_are_refused():
    with pytest.raises(RepresentationError, match="some words have only 3 words outside"):
        nearest(normal(10, 4), [0] * 7 + [1, 2, 3], k=5)
