"""States of Hugging Face checkpoints: small random ones, written to disk and read by path."""

import numpy as np
import pytest
from spaces_cases import words_of

from offline_transformers import import_transformers
from representations.description import Extent, describe_states
from representations.errors import RepresentationError

SENTENCES = [["the", "cat", "sees", "a", "bird"], ["birds", "see", "the", "cats"], ["a", "cat"]]
TEXT = [" ".join(sentence) for sentence in SENTENCES] * 20
WIDTH = 16


def make_bert(folder):
    transformers = import_transformers()
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "##s", "a", "bird", "see"]
    tokenizer = transformers.BertTokenizer({piece: at for at, piece in enumerate(pieces)})
    config = transformers.BertConfig(
        vocab_size=len(pieces), hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=12,
    )  # fmt: skip
    return transformers.BertModel(config), tokenizer


def make_opt(folder):
    transformers = import_transformers()
    pieces = ["<pad>", "</s>", "<unk>", *"Ġabcdehinrst", "Ġc", "Ġca", "Ġcat"]
    tokenizer = transformers.GPT2Tokenizer(
        {piece: at for at, piece in enumerate(pieces)},
        [("Ġ", "c"), ("Ġc", "a"), ("Ġca", "t")],
        unk_token="<unk>", bos_token="</s>", eos_token="</s>", pad_token="<pad>",
    )  # fmt: skip
    config = transformers.OPTConfig(
        vocab_size=len(pieces), hidden_size=WIDTH, word_embed_proj_dim=WIDTH, ffn_dim=32,
        num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=24,
    )  # fmt: skip
    return transformers.OPTModel(config), tokenizer


def make_marian(folder):
    transformers = import_transformers()
    import json

    import sentencepiece

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT), model_prefix=str(folder / "pieces"), vocab_size=24,
        hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "pieces.model"))
    names = [pieces.id_to_piece(at) for at in range(len(pieces))] + ["<pad>"]
    (folder / "names.json").write_text(json.dumps({name: at for at, name in enumerate(names)}))
    model = str(folder / "pieces.model")
    tokenizer = transformers.MarianTokenizer(
        source_spm=model, target_spm=model, vocab=str(folder / "names.json")
    )
    config = transformers.MarianConfig(
        vocab_size=len(names), d_model=WIDTH, encoder_layers=2, decoder_layers=1,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32,
        decoder_ffn_dim=32, pad_token_id=len(names) - 1, decoder_start_token_id=len(names) - 1,
        max_position_embeddings=40, scale_embedding=True,
    )  # fmt: skip
    return transformers.MarianModel(config), tokenizer


@pytest.fixture(params=[make_bert, make_opt, make_marian], ids=["bert", "opt", "marian"])
def checkpoint(request, tmp_path):
    """(folder, model, tokenizer) of a small checkpoint with random weights."""
    import torch

    torch.manual_seed(0)
    model, tokenizer = request.param(tmp_path)
    folder = tmp_path / "checkpoint"
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder, model, tokenizer


def test_states_are_those_of_the_model_one_sentence_at_a_time(checkpoint):
    """Batches, padding and the mean over pieces change nothing; special pieces are left out."""
    import torch

    from representations.huggingface import checkpoint_states

    folder, model, tokenizer = checkpoint
    words = words_of(SENTENCES)
    found = checkpoint_states(folder, words)
    kind = model.config.model_type
    layers = ["word", "0", "1", "2"] + (["norm"] if kind == "opt" else [])
    assert list(found) == layers
    start = 0
    for sentence in SENTENCES:
        pieces = [
            tokenizer.convert_tokens_to_ids(tokenizer.tokenize(" " + word)) for word in sentence
        ]
        before = {"bert": [tokenizer.cls_token_id], "opt": [tokenizer.bos_token_id], "marian": []}
        after = {"bert": [tokenizer.sep_token_id], "opt": [], "marian": [tokenizer.eos_token_id]}
        ids = torch.tensor([before[kind] + sum(pieces, []) + after[kind]])
        stack = model.get_encoder() if kind == "marian" else model
        with torch.no_grad():
            hidden = stack(ids, output_hidden_states=True).hidden_states[-1][0].numpy()
        at = len(before[kind])
        for word, own in enumerate(pieces):
            expected = hidden[at : at + len(own)].mean(axis=0)
            np.testing.assert_allclose(found[layers[-1]][start + word], expected, atol=1e-5)
            at += len(own)
        start += len(sentence)


def test_the_same_word_has_one_embedding_without_positions_and_several_with_them(checkpoint):
    from representations.huggingface import checkpoint_states

    words = words_of([["cat", "the", "cat"], ["the", "cat"]])
    found = checkpoint_states(checkpoint[0], words)
    np.testing.assert_allclose(found["word"][0], found["word"][4], atol=1e-6)
    assert np.abs(found["0"][0] - found["0"][4]).max() > 1e-3


def test_a_checkpoint_is_described_by_its_path(checkpoint):
    words = words_of(SENTENCES * 4)
    table = describe_states(checkpoint[0], words, ["isotropy"], Extent(pairs=500))
    assert list(table["layer"].values[:2]) == ["word", "0"]
    assert np.isfinite(table["average_similarity"]).all()


def test_what_cannot_be_read_is_refused(checkpoint, tmp_path):
    from representations.huggingface import checkpoint_states

    folder, model, _ = checkpoint
    with pytest.raises(RepresentationError, match="has no config.json"):
        checkpoint_states(tmp_path / "absent", words_of(SENTENCES))
    longer = words_of([["cat"] * (model.config.max_position_embeddings + 1)])
    with pytest.raises(RepresentationError, match="make the table of words with a limit"):
        checkpoint_states(folder, longer)
    with pytest.raises(RepresentationError, match="does not hold whole sentences"):
        checkpoint_states(folder, words_of(SENTENCES).isel(word=[0, 2, 3]))


def test_a_model_of_another_family_is_refused(tmp_path):
    from offline_transformers import make_gpt2
    from representations.huggingface import checkpoint_states

    make_gpt2(bare=True).save_pretrained(tmp_path)
    with pytest.raises(RepresentationError, match="family 'gpt2'; states are read of bert"):
        checkpoint_states(tmp_path, words_of(SENTENCES))
