"""From pieces to the words that all models share."""

import numpy as np
import pytest
from spaces_cases import normal, whole_words, words_of

from representations.errors import RepresentationError
from representations.words import (
    equal_numbers,
    frequency_bins,
    is_punctuation,
    join_pieces,
    make_words,
    pool_pieces,
    single_piece,
)
from studies.representations.measuring.reading import tag_words


def test_pieces_become_words():
    found = join_pieces(["<s>", "▁The", "▁ca", "t", "s", "▁", "slept", ".", "</s>"])
    assert found.words == ("The", "cats", "slept.")
    assert found.first == (1, 2, 5)
    assert found.pieces == (1, 3, 3)


def test_a_piece_after_a_special_one_begins_a_word_without_a_mark():
    assert join_pieces(["</s>", "cat", "s"]).words == ("cats",)


def test_models_with_other_vocabularies_share_their_words():
    clm = [join_pieces(["▁the", "▁ca", "t", "▁sat"]), join_pieces(["▁a", "▁cat"])]
    mt = [join_pieces(["▁th", "e", "▁cat", "▁sat"]), join_pieces(["▁a", "▁cat"])]
    words = make_words({"clm": clm, "mt": mt})
    assert words["type"].values.tolist() == ["the", "cat", "sat", "a", "cat"]
    assert words["sentence"].values.tolist() == [0, 0, 0, 1, 1]
    assert words["position"].values.tolist() == [0, 1, 2, 0, 1]
    assert words["left"].values.tolist() == ["", "the", "cat", "", "a"]
    assert words["right"].values.tolist() == ["cat", "sat", "", "cat", ""]
    assert words["pieces"].sel(model="clm").values.tolist() == [1, 2, 1, 1, 1]
    assert words["first_piece"].sel(model="mt").values.tolist() == [0, 2, 3, 0, 1]
    assert single_piece(words).tolist() == [2, 3, 4]


def test_sentences_are_cut_at_the_smallest_limit():
    """A word counts if its last piece fits in every model; its right neighbour stays known."""
    clm = [join_pieces(["▁the", "▁cat", "▁s", "at", "▁down"])]
    mt = [join_pieces(["▁the", "▁c", "at", "▁sat", "▁down"])]
    words = make_words({"clm": clm, "mt": mt}, limit=3)
    assert words["type"].values.tolist() == ["the", "cat"]
    assert words["right"].values.tolist() == ["cat", "sat"]


def test_words_after_a_difference_are_not_compared():
    clm = [whole_words(["a", "b", "<unk>", "d"])]
    mt = [whole_words(["a", "b", "c", "d"])]
    assert make_words({"clm": clm, "mt": mt})["type"].values.tolist() == ["a", "b"]


def test_models_with_nothing_in_common_are_refused():
    with pytest.raises(RepresentationError, match="clm, mt have no word in common in 1 sentences"):
        make_words({"clm": [whole_words(["a"])], "mt": [whole_words(["b"])]})
    with pytest.raises(RepresentationError, match="different numbers of sentences: clm 1, mt 2"):
        make_words({"clm": [whole_words(["a"])], "mt": [whole_words(["a"])] * 2})


def test_the_table_survives_a_file(tmp_path):
    import xarray as xr

    words = words_of([["a", "b"], ["b"]])
    words.to_netcdf(tmp_path / "words.nc")
    again = xr.load_dataset(tmp_path / "words.nc")
    assert again["type"].values.tolist() == ["a", "b", "b"]
    assert again["left"].values.tolist() == ["", "a", ""]
    assert again.attrs["frequency_bins"] == 5


def test_frequency_bins_hold_equal_shares_of_the_text():
    types = np.repeat(["the", "of", "cat", "dog", "owl"], [40, 20, 20, 20, 20])
    bins = frequency_bins(types, bins=3)
    assert np.bincount(bins).tolist() == [40, 40, 40]
    assert bins[0] == 0


def test_frequency_is_that_of_the_training_text():
    """Words that were never counted are among the rarest."""
    bins = frequency_bins(["rare", "the", "new"], {"the": 90, "rare": 10}, bins=5)
    assert bins.tolist() == [4, 2, 4]


def test_states_of_pieces_are_averaged_over_each_word():
    states = normal(7, 3)
    found = pool_pieces(states, [1, 2, 5], [1, 3, 2])
    expected = [states[1], states[2:5].mean(axis=0), states[5:7].mean(axis=0)]
    np.testing.assert_allclose(found, expected)
    assert pool_pieces(states, [], []).shape == (0, 3)
    with pytest.raises(RepresentationError, match="word 1 has 3 pieces from row 5 on"):
        pool_pieces(states, [0, 5], [1, 3])


def test_words_get_the_parts_of_speech_of_their_sentences(tmp_path):
    """A word with punctuation has the tag that it begins with; unknown sentences have none."""
    rows = ["cats NOUN", "sleep VERB", ". PUNCT"]
    fields = [row.split() for row in rows]
    lines = [
        f"{number}\t{form}\t_\t{tag}\t_\t_\t0\troot\t_\t_"
        for number, (form, tag) in enumerate(fields, 1)
    ]
    path = tmp_path / "known.conllu"
    path.write_text("# text = cats sleep.\n" + "\n".join(lines) + "\n", encoding="utf-8")
    words = words_of([["dogs", "sleep."], ["cats", "sleep."], ["cats"]])
    found = tag_words(words, ["dogs sleep.\n", "cats  sleep.\n", "cats sleep.\n"], [path])
    assert found["tag"].values.tolist() == ["", "", "NOUN", "VERB", "NOUN"]


def test_groups_get_equal_numbers():
    groups = np.repeat([0, 1, 2], [50, 20, 30])
    found = equal_numbers(groups)
    assert [len(rows) for rows in found] == [20, 20, 20]
    assert all((groups[rows] == group).all() for group, rows in enumerate(found))
    assert [len(set(rows)) for rows in equal_numbers(groups, 7)] == [7, 7, 7]


def test_an_empty_frequency_bin_is_refused():
    with pytest.raises(RepresentationError, match="group 1 has 0 words, needed are 1"):
        equal_numbers(np.array([0, 0, 2, 2]))
    with pytest.raises(RepresentationError, match="group 4 has 0 words"):
        equal_numbers(np.array([0, 1, 2, 3]), groups_expected=5)
    with pytest.raises(RepresentationError, match="group 1 has 1 words, needed are 2"):
        equal_numbers(np.array([0, 0, 1]), 2)


def test_punctuation_is_told_from_words():
    assert is_punctuation([".", "cat.", "--", "€", "3"]).tolist() == [
        True,
        False,
        True,
        True,
        False,
    ]
