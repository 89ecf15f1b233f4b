"""States of words in small trained models, influence, and information at masked words."""

import numpy as np
import pytest
import sentencepiece
import torch

from representations.errors import RepresentationError
from representations.states import StatesReader
from studies.representations.measuring.hidden_words import describe_hidden_words, measure_influence
from studies.representations.measuring.reading import read_words
from studies.representations.measuring.word_states import (
    text_side,
    word_batches,
    write_states,
)
from tiny_trainings import write_tokens
from trained_models import train
from training.layer_states import layer_states
from training.trained_model import TrainedModelHandle

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore"),
]

OBJECTIVES = ("clm", "mlm", "mt")
LIMIT = 14
SETTINGS = {
    "max_tokens": 512,
    "masks": 7,
    "measures": {"types": 10, "samples": 300, "clusters": 20, "repeats": 2, "change_repeats": 0},
}


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """Objective to (handle, vocabulary), and the table of words of all of them."""
    folder = tmp_path_factory.mktemp("texts")
    tokens = write_tokens(folder, {"train": 200, "valid": 20})
    models, vocabularies = {}, {}
    for objective in OBJECTIVES:
        own = tmp_path_factory.mktemp(objective)
        train(own, objective, tokens, "fast-pre", layers=2, tokens_per_sample=16,
              embedding_dimension=8)  # fmt: skip
        vocabularies[objective] = tokens[objective] / "vocabulary.model"
        models[objective] = TrainedModelHandle(
            own / "checkpoint.pt", tokens[objective], None, "cpu"
        )
    text = folder / "text" / "train.en"
    words = read_words(text, vocabularies, text, 1_000, 900, LIMIT)
    return models, vocabularies, words


def batches(read, objective, **options):
    models, vocabularies, words = read
    return list(
        word_batches(models[objective], vocabularies[objective], words, objective, 512, **options)
    )


def test_words_are_read_whole_by_every_vocabulary(read):
    words = read[2]
    assert 900 <= words.sizes["word"] < 920
    assert int((words["first_piece"] + words["pieces"]).max()) <= LIMIT
    assert len(np.unique(words["frequency_bin"])) == 5


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_word_of_the_table_has_its_own_pieces(read, objective):
    models, vocabularies, words = read
    handle = models[objective]
    processor = sentencepiece.SentencePieceProcessor(model_file=str(vocabularies[objective]))
    types = words["type"].values
    row = 0
    for some in batches(read, objective):
        assert some.start == row
        ids = handle.tokens(some.batch)[text_side(handle)].ids.reshape(-1).tolist()
        for first, pieces in zip(some.first, some.pieces, strict=True):
            assert processor.decode(ids[first : first + pieces]) == types[row]
            row += 1
    assert row == len(types)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_file_holds_the_mean_of_the_pieces_in_every_layer(read, objective, tmp_path):
    models, vocabularies, words = read
    handle, path = models[objective], tmp_path / "states.nc"
    write_states(handle, vocabularies[objective], words, objective, path, 512)
    some = batches(read, objective)[0]
    side = text_side(handle)
    with torch.no_grad():
        layers = layer_states(handle, some.batch)[side]
    word = int(np.argmax(some.pieces))
    assert some.pieces[word] > 1
    with StatesReader(path) as file:
        assert file.layers == ("0 without positions", "0", *"12"[: len(layers) - 3], "norm")
        for layer, states in layers.items():
            pieces = states.reshape(-1, states.shape[-1])
            own = pieces[some.first[word] : some.first[word] + some.pieces[word]].mean(0)
            np.testing.assert_allclose(file.layer(layer)[word], own, rtol=2e-3, atol=2e-3)


def test_a_table_of_other_pieces_is_refused(read):
    models, vocabularies, words = read
    other = words.copy(deep=True)
    other["pieces"][:] = 1
    with pytest.raises(RepresentationError, match=r"reads the sentence .* make the table again"):
        list(word_batches(models["mt"], vocabularies["mt"], other, "mt", 512))


def test_words_that_no_query_attends_to_have_no_influence(read):
    """Without values, attention tells nothing: the measure is 0; with them, it is not."""
    models, _, words = read
    handle = models["mt"]
    some = batches(read, "mt")
    plain = measure_influence(handle, some, words, 0, 0)
    assert (plain["influence"] > 1e-4).all() and (plain["influence_floor"] > 0.3).all()
    values = [layer.self_attn.v_proj for layer in handle.stacks["encoder"].layers]
    kept = [value.weight.detach().clone() for value in values]
    for value in values:
        value.weight.data.zero_()
    silent = measure_influence(handle, some, words, 0, 0)
    for value, weight in zip(values, kept, strict=True):
        value.weight.data.copy_(weight)
    np.testing.assert_allclose(silent["influence"], 0, atol=1e-6)


def test_the_embedding_at_masked_words_knows_what_is_read_and_not_what_was_there(read):
    models, vocabularies, words = read
    found = describe_hidden_words(
        models["mlm"], vocabularies["mlm"], words, "mlm", SETTINGS, seed=1
    )
    bottom = found.sel(layer="0 without positions")
    assert float(bottom["masked_input_share"]) > 0.5
    assert abs(float(bottom["masked_output_share"])) < 0.15
    assert found.attrs["masked_words"] <= 300
    # In the order of the layers, not of their names.
    assert found["layer"].values.tolist() == ["0 without positions", "0", "1", "2", "norm"]
    assert np.isfinite(found["influence"].sel(layer=["1", "2"])).all()


def test_only_a_model_that_reads_masked_text_has_masked_words(read):
    models, vocabularies, words = read
    found = describe_hidden_words(
        models["clm"], vocabularies["clm"], words, "clm", SETTINGS, seed=1
    )
    assert "masked_input_share" not in found
    assert found["influence"].shape == (2, 5)


def test_sentences_with_letters_that_no_vocabulary_knows_are_left_out(read, tmp_path):
    _, vocabularies, words = read
    known = " ".join(words["type"].values[words["sentence"].values == 0])
    text = tmp_path / "text"
    text.write_text(f"{known}\n{known} ☃\n{known}\n", encoding="utf-8")
    found = read_words(text, vocabularies, text, 10, 100, LIMIT)
    assert found["type"].values.tolist() == 2 * known.split()
