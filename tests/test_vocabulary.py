"""Vocabularies: fairseq's ids, the requested size, the same bytes for the same seed."""

import numpy as np
import pytest
import sentencepiece
from fairseq.data import Dictionary

from common.files import UserError
from text.text_lines import count_lines, read_line_batches
from text.vocabulary import dictionary_lines, learn_vocabulary, load_vocabulary, unigram_entropy
from tiny_trainings import write_corpus

# fairseq and hydra warn about their own use of torch and of each other.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    splits = write_corpus(tmp_path_factory.mktemp("text"), {"train": 200})
    folder = splits["train"].parent
    return [folder / "train.en", folder / "train.de"]


def learn(texts, folder, size=150, sentences=0, seed=1, threads=1):
    paths = folder / "vocabulary.model", folder / "vocabulary.txt"
    learn_vocabulary(texts, size, sentences, seed, threads, *paths)
    return paths


@pytest.mark.parametrize("size", [100, 151, 300])
def test_ids_are_those_of_fairseq(texts, tmp_path, size):
    model, listing = learn(texts, tmp_path, size)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    assert processor.get_piece_size() == size
    (tmp_path / "dict.txt").write_text("".join(dictionary_lines(processor)), encoding="utf-8")
    dictionary = Dictionary.load(str(tmp_path / "dict.txt"))
    assert len(dictionary) == size
    pieces = [processor.id_to_piece(number) for number in range(size)]
    assert [dictionary.index(piece) for piece in pieces] == list(range(size))
    specials = [dictionary.bos(), dictionary.pad(), dictionary.eos(), dictionary.unk()]
    assert [processor.bos_id(), processor.pad_id()] == specials[:2]
    assert [processor.eos_id(), processor.unk_id()] == specials[2:]
    lines = listing.read_text(encoding="utf-8").splitlines()
    assert [line.split("\t")[0] for line in lines] == pieces


def test_text_survives_a_round_trip(texts, tmp_path):
    model, _ = learn(texts, tmp_path)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    for text in texts:
        lines = text.read_text(encoding="utf-8").splitlines()
        assert processor.decode(processor.encode(lines)) == lines
        assert processor.unk_id() not in {i for ids in processor.encode(lines) for i in ids}


def test_the_same_seed_gives_the_same_bytes(texts, tmp_path):
    results = {}
    for name, options in {
        "a": {"sentences": 100},
        "b": {"sentences": 100, "threads": 2},
        "c": {"sentences": 100, "seed": 2},
        "all": {},
        "more than there are": {"sentences": 10_000},
    }.items():
        (tmp_path / name).mkdir()
        model, listing = learn(texts, tmp_path / name, **options)
        results[name] = listing.read_bytes()
        assert sorted(p.name for p in (tmp_path / name).iterdir()) == [model.name, listing.name]
    assert results["a"] == results["b"] != results["c"]
    assert results["all"] == results["more than there are"] != results["a"]


def test_the_sample_is_drawn_from_all_texts_together(texts, tmp_path):
    (tmp_path / "first.en").write_text("aaaa bbbb cccc\n" * 50)
    (tmp_path / "second.en").write_text("xxxx yyyy zzzz\n" * 50)
    model, _ = learn([tmp_path / "first.en", tmp_path / "second.en"], tmp_path, 17, sentences=20)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    letters = {piece for piece in map(processor.id_to_piece, range(17)) if len(piece) == 1}
    assert set("abcxyz") <= letters


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (100_000, r"100000 symbols cannot be learnt from .*train\.en.*at most \d+\. Lower"),
        (10, r"10 symbols is smaller than the characters of .*train\.en.*raise vocabulary\.size"),
    ],
)
def test_impossible_sizes_are_explained_and_leave_nothing(texts, tmp_path, size, message):
    with pytest.raises(UserError, match=message):
        learn(texts, tmp_path, size)
    assert list(tmp_path.iterdir()) == []


def test_unigram_entropy():
    assert unigram_entropy(np.array([5, 0, 5, 5, 5])) == pytest.approx(np.log(4))
    assert unigram_entropy(np.array([0, 7])) == 0


def test_text_that_is_not_utf8_is_told_and_leaves_nothing(tmp_path):
    (tmp_path / "text.de").write_bytes(b"ein Satz\n" + "zwölf\n".encode("latin-1"))
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match=r"text\.de, line 2: not UTF-8"):
        learn([tmp_path / "text.de"], tmp_path / "out", 20)
    assert list((tmp_path / "out").iterdir()) == []


def test_only_line_feeds_end_a_sentence(texts, tmp_path):
    """And a last line without one is drawn like the others."""
    text = "one two\u2028three\rfour\n" * 30 + "zwölf"
    (tmp_path / "text.en").write_bytes(text.encode())
    assert count_lines(tmp_path / "text.en") == 31
    lines = [line for lines in read_line_batches(tmp_path / "text.en") for line in lines]
    assert len(lines) == 31 and lines[-1] == "zwölf".encode()
    model, _ = learn([tmp_path / "text.en"], tmp_path, 30, sentences=31)
    assert load_vocabulary(model).piece_to_id("ö") > 3
    learn([tmp_path / "text.en"], tmp_path, 20, sentences=25)


def test_a_damaged_vocabulary_is_not_used(texts, tmp_path):
    model, _ = learn(texts, tmp_path)
    assert load_vocabulary(model).get_piece_size() == 150
    model.write_bytes(b"")
    with pytest.raises(UserError, match=r"vocabulary\.model is no complete SentencePiece model"):
        load_vocabulary(model)
