"""Treebanks, words against pieces, and heads that follow a dependency."""

import numpy as np
import pytest

from attention_heads.errors import HeadsError, TreebankError
from attention_heads.syntactic import DIRECTIONS, SyntaxCounter
from attention_heads.treebank import Relation, check_language, read_conllu
from attention_heads.words import align_pieces, word_attention

GERMAN = """\
# text = Im Haus schläft die Katze.
1-2\tIm\t_\t_\t_\t_\t_\t_\t_\t_
1\tIn\tin\tADP\t_\t_\t3\tcase\t_\t_
2\tdem\tder\tDET\t_\t_\t3\tdet\t_\t_
3\tHaus\tHaus\tNOUN\t_\t_\t4\tobl\t_\t_
4\tschläft\tschlafen\tVERB\t_\t_\t0\troot\t_\t_
4.1\tleise\tleise\tADV\t_\t_\t_\t_\t4:advmod\t_
5\tdie\tder\tDET\t_\t_\t6\tdet\t_\t_
6\tKatze\tKatze\tNOUN\t_\t_\t4\tnsubj\t_\tSpaceAfter=No
7\t.\t.\tPUNCT\t_\t_\t4\tpunct\t_\t_

1\tJa\tja\tINTJ\t_\t_\t0\troot\t_\t_
"""


@pytest.fixture
def treebank(tmp_path):
    path = tmp_path / "de.conllu"

    def write(text=GERMAN):
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_treebank_is_read_by_written_words(treebank):
    first, second = read_conllu(treebank())
    assert first.words == ["Im", "Haus", "schläft", "die", "Katze", "."]
    assert first.tags == ["_", "NOUN", "VERB", "DET", "NOUN", "PUNCT"]
    assert Relation("nsubj", 4, 2) in first.relations
    assert Relation("case", 0, 1) in first.relations  # "Im" stands for both of its words
    assert len(first.relations) == 6
    assert second.words == ["Ja"] and second.relations == []


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("3\tHaus\tHaus", "3\tHaus Haus", r"de.conllu:5: expected 10 fields .* found 9"),
        ("6\tKatze\tKatze\tNOUN\t_\t_\t4", "6\tKatze\tKatze\tNOUN\t_\t_\t44",
         r"de.conllu:9: the head '44' is no word"),
        ("3\tHaus", "drei\tHaus", r"de.conllu:5: 'drei' is not the number of a word"),
        (GERMAN, "# nothing\n", "holds no sentence"),
    ],
)  # fmt: skip
def test_what_is_not_conllu_is_refused_with_its_line(treebank, old, new, message):
    with pytest.raises(TreebankError, match=message):
        read_conllu(treebank(GERMAN.replace(old, new)))


def test_a_treebank_of_another_language_is_refused(treebank):
    sentences = read_conllu(treebank())
    check_language(sentences, ["im", "Haus", "schläft", "die", "Katze"])
    with pytest.raises(TreebankError, match="only 0% of the treebank's words occur .* language"):
        check_language(sentences, ["the", "house", "cat", "sleeps"])


def test_pieces_belong_to_the_word_that_they_begin_in():
    words = ["Der", "Übergang", "½", "."]
    pieces = ["▁Der", "▁Über", "gang", "▁1", "⁄2", "."]
    assert align_pieces(pieces, words) == [0, 1, 1, 2, 2, 3]
    assert align_pieces(pieces[:2], words) == [0, 1]
    assert align_pieces(["▁a", "b.", "▁c"], ["ab", ".", "c"]) == [0, 0, 2]


def test_pieces_of_other_words_are_refused():
    with pytest.raises(
        TreebankError, match="sentence 7: the model's text has '▁cat' where .* 'dog"
    ):
        align_pieces(["▁the", "▁cat"], ["the", "dog"], "sentence 7")
    with pytest.raises(TreebankError, match="has '.' where the treebank has ''"):
        align_pieces(["▁the", "."], ["the"])


def test_weights_are_summed_over_keys_and_averaged_over_queries():
    weights = np.array([[[0.1, 0.2, 0.3, 0.4], [0.0, 0.5, 0.5, 0.0], [1.0, 0.0, 0.0, 0.0]]])
    found = word_attention(weights, [0, 1, 1], [0, 0, 1, -1])
    np.testing.assert_allclose(found, [[[0.3, 0.3], [0.75, 0.25]]])


# The subject stands one word before its verb in half of the sentences, two in the others.
SENTENCES = [[Relation("nsubj", 0, 1 + n % 2), Relation("obj", 3, 1 + n % 2)] for n in range(40)]


PIECES = [0, 1, 2, 3, 4, 4, -1]


def count(weights_of, **options):
    counter = SyntaxCounter(1, 2, seed=0, **options)
    for relations in SENTENCES:
        counter.add(weights_of(relations), PIECES, relations)
    return counter.results()


def looking(relations, dependent_to_head=True):
    """Head 0 attends to the subject; head 1 attends uniformly."""
    weights = np.full((1, 2, 7, 7), 1 / 7)
    subject = relations[0]
    ends = (subject.dependent, subject.head)
    source, target = ends if dependent_to_head else ends[::-1]
    weights[0, 0, source] = np.eye(7)[target]
    return weights


@pytest.mark.parametrize("forward", [True, False])
def test_a_head_that_follows_the_subject_is_found_and_beats_the_best_offset(forward):
    found = count(lambda relations: looking(relations, forward))
    each = found["nsubj", DIRECTIONS[0 if forward else 1]]
    assert each.rates[0, 0] == 1 and each.relations == 40
    assert each.baseline == 0.5 and abs(each.offset) in (1, 2)
    assert each.is_syntactic.tolist() == [[True, False]]
    assert not found["obj", DIRECTIONS[0]].is_syntactic.any()


def test_attention_without_structure_finds_nothing():
    random = np.random.default_rng(1)
    found = count(lambda relations: random.dirichlet(np.ones(7), size=(1, 2, 7)))
    assert not any(each.is_syntactic.any() for each in found.values())


def test_a_head_at_the_best_offset_is_not_syntactic():
    def next_word(relations):
        return np.eye(7).take([1, 2, 3, 4, 4, 4, 6], axis=0)[None, None].repeat(2, axis=1)

    each = count(next_word)["nsubj", DIRECTIONS[0]]
    assert each.rates.tolist() == [[0.5, 0.5]] and not each.is_syntactic.any()


def test_a_relation_that_never_occurs_cannot_tell():
    each = count(looking)["amod", DIRECTIONS[1]]
    assert np.isnan(each.rates).all() and each.offset is None and not each.is_syntactic.any()
    assert each.reason == (
        "the relation amod (head to dependent) never occurs in the 40 sentences given"
    )


def test_a_causal_model_is_asked_only_what_it_can_see():
    found = count(looking, causal=True)
    assert found["nsubj", DIRECTIONS[0]].relations == 0  # the verb stands after its subject
    assert found["nsubj", DIRECTIONS[1]].relations == 40


def test_subtypes_count_and_words_that_were_cut_off_do_not():
    counter = SyntaxCounter(1, 2, seed=0)
    relations = [Relation("nsubj:pass", 0, 1), Relation("nsubj", 0, 9), Relation("det", 0, 1)]
    counter.add(np.full((1, 2, 3, 3), 1 / 3), [0, 1, -1], relations)
    assert counter.results()["nsubj", DIRECTIONS[0]].relations == 1


def test_weights_of_another_shape_are_refused():
    with pytest.raises(HeadsError, match=r"shape \(1, 2, 3, 3\), expected \(1, 2, 4, 4\)"):
        SyntaxCounter(1, 2, seed=0).add(np.ones((1, 2, 3, 3)), [0, 1, 2, 3], [])
