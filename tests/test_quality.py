"""How good a model is: measured losses and what they are held to, against slow references."""

import json
import math

import numpy as np
import pytest
import sentencepiece
import torch

from losschange_fairseq.training import DutyIntervals, ResumableTraining
from running.models import parse_model
from text.binarisation import binarise
from text.vocabulary import learn_vocabulary, load_vocabulary, normaliser_of
from tiny_trainings import tiny_training, write_tokens
from training.fairseq_arguments import fairseq_arguments
from training.quality import (
    TrainedModel,
    bleu_tokenizer,
    context_free_loss,
    translation_scores,
)

# fairseq and hydra warn about their own use of torch and of each other.
pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore")]


@pytest.mark.parametrize("left", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("random", [0.0, 0.1, 0.4])
@pytest.mark.parametrize("counts", [[4, 1, 0, 7, 2, 0, 1], [3, 3, 3], [0, 9, 0, 1]])
def test_context_free_loss_is_the_entropy_of_the_token_given_what_is_shown(counts, left, random):
    p = np.array(counts) / sum(counts)
    joint = np.zeros((len(p), len(p) + 1))  # true token x token shown, the mask last
    for true, probability in enumerate(p):
        joint[true, -1] += probability * (1 - left - random)
        joint[true, true] += probability * left
        for shown in range(len(p)):
            joint[true, shown] += probability * random / len(p)
    given = joint.sum(axis=0)
    entropy = 0.0
    for true, shown in np.argwhere(joint > 0):
        entropy -= joint[true, shown] * math.log(joint[true, shown] / given[shown])
    found = context_free_loss(np.array(counts), left, random)
    assert found == pytest.approx(entropy, abs=1e-12)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokens")
    return write_tokens(folder, {"train": 240, "valid": 80, "test": 8}), folder / "text"


def train(name, tokens, folder):
    """A tiny trained model; its checkpoint."""
    model = parse_model(name)
    training = tiny_training(model, total_updates=6)
    arguments = fairseq_arguments(model, training, tokens[0][model.objective], 1, "cpu")
    run = ResumableTraining(arguments, folder / "state", DutyIntervals(6, 6, 6))
    run.run(lambda update, numbers: None, lambda: False)
    run.save_model(folder / "checkpoint.pt")
    return TrainedModel(folder / "checkpoint.pt", tokens[0][model.objective], max_tokens=200)


def test_the_loss_of_a_causal_model_equals_a_slow_one(tokens, tmp_path):
    trained = train("clm-en", tokens, tmp_path)
    found = trained.loss("valid")
    processor = sentencepiece.SentencePieceProcessor(
        model_file=str(tokens[0]["clm"] / "vocabulary.model")
    )
    lines = (tokens[1] / "valid.en").read_text(encoding="utf-8").splitlines()
    stream = [i for line in lines for i in [*processor.encode(line), 2]]
    loss, length = 0.0, 16
    for start in range(0, len(stream), length):
        targets = stream[start : start + length]
        inputs = [stream[start - 1] if start else 2, *targets[:-1]]
        logits = trained.model(torch.tensor([inputs]))[0].detach()
        loss -= torch.log_softmax(logits[0].double(), -1)[range(len(targets)), targets].sum().item()
    assert found["tokens"] == len(stream)
    assert found["loss"] == pytest.approx(loss / len(stream), rel=1e-5)
    assert found["perplexity"] == pytest.approx(math.exp(loss / len(stream)), rel=1e-4)
    p = np.bincount(stream) / len(stream)
    assert found["unigram_entropy"] == pytest.approx(-(p[p > 0] * np.log(p[p > 0])).sum())
    assert found["context_free"] is None


def test_a_masked_model_is_measured_the_same_each_time(tokens, tmp_path):
    trained = train("mlm-en", tokens, tmp_path)
    found = trained.loss("valid")
    assert trained.loss("valid") == found
    again = TrainedModel(tmp_path / "checkpoint.pt", tokens[0]["mlm"], max_tokens=300)
    other = again.loss("valid")
    assert other["loss"] == pytest.approx(found["loss"], rel=1e-5)
    assert other["unigram_entropy"] == found["unigram_entropy"]
    assert 0 < found["context_free"] < found["unigram_entropy"] < math.log(201)
    sizes = trained.task.dataset("valid").sizes
    assert found["tokens"] / np.sum(sizes) == pytest.approx(0.15, abs=0.05)


def test_every_sentence_has_a_translation(tokens, tmp_path):
    trained = train("mt-en-de", tokens, tmp_path)
    processor = sentencepiece.SentencePieceProcessor(
        model_file=str(tokens[0]["mt"] / "vocabulary.model")
    )
    whole = trained.translate("test", processor, beam=2, length_penalty=1.0, sentences=0)
    assert len(whole) == 8 and all(isinstance(line, str) for line in whole)
    assert trained.translate("test", processor, 2, 1.0, sentences=99) == whole
    # How long a translation may be depends on the batch, so a shorter list may differ in itself.
    assert len(trained.translate("test", processor, 2, 1.0, sentences=3)) == 3


def test_scores_of_perfect_and_of_useless_translations():
    lines = ["the house is small and very old .", "we vote today on the new budget ."]
    perfect = translation_scores(lines, lines, seed=1)
    assert perfect["bleu"] == pytest.approx(100) and perfect["chrf"] == pytest.approx(100)
    assert perfect["sentences"] == 2 and "version:" in perfect["bleu_signature"]
    assert translation_scores(["x"] * 2, lines, seed=1)["bleu"] < 1


def test_bleu_with_shuffled_sources_is_that_of_other_sentences():
    """Each translation meets another reference: nothing in common is nothing, all alike is all."""
    lines = [f"{word} is seen by nobody at all ." for word in ("one", "two")]
    exchanged = translation_scores(lines[::-1], lines, seed=1)
    found = translation_scores(lines, lines, seed=1)
    assert found["bleu_shuffled_sources"] == pytest.approx(exchanged["bleu"])
    assert exchanged["bleu_shuffled_sources"] == pytest.approx(100)
    apart = [" ".join(f"{word}{place}" for place in range(6)) for word in "abcdefgh"]
    for seed in range(5):
        scores = translation_scores(apart, apart, seed)
        assert scores["bleu"] == pytest.approx(100) and scores["bleu_shuffled_sources"] < 1
    same = translation_scores([lines[0]] * 3, lines[:1] * 3, seed=1)
    assert same["bleu_shuffled_sources"] == pytest.approx(100), "a source that tells nothing"
    assert translation_scores(lines[:1], lines[:1], seed=1)["bleu_shuffled_sources"] is None


CHINESE = "今天，天气很好！我们去公园（北门）。"
# As SentencePiece's nmt_nfkc has it: full-width punctuation is replaced.
NORMALISED = "今天,天气很好!我们去公园(北门)。"


def vocabulary(folder, normalisation):
    text = folder / "zh.txt"
    text.write_text(f"{CHINESE}\n" * 20, encoding="utf-8")
    model = folder / f"{normalisation}.model"
    learn_vocabulary([text], 30, 0, 1, 1, model, model.with_suffix(".txt"), normalisation)
    return model


@pytest.mark.parametrize(
    ("normalisation", "decoded"), [("nmt_nfkc", NORMALISED), ("identity", CHINESE)]
)
def test_a_perfect_translation_is_perfect_under_either_normalisation(
    tmp_path, normalisation, decoded
):
    model = vocabulary(tmp_path, normalisation)
    processor = load_vocabulary(model)
    translation = processor.decode(processor.encode(CHINESE))
    assert translation == decoded
    name, normalise = normaliser_of(model)
    assert name == normalisation
    scores = translation_scores([translation], [CHINESE], 1, "zh", (name, normalise))
    assert scores["bleu"] == pytest.approx(100) and scores["chrf"] == pytest.approx(100)
    assert "|tok:zh|" in scores["bleu_signature"]
    assert scores["bleu_signature"].endswith(f"|norm:{normalisation}")
    assert scores["chrf_signature"].endswith(f"|norm:{normalisation}")


def test_only_normalising_one_side_would_cost_a_perfect_translation_its_score():
    assert translation_scores([NORMALISED], [CHINESE], 1, "zh")["bleu"] < 60


@pytest.mark.parametrize(
    ("language", "tokenizers"),
    [
        ("de", {"13a"}),
        ("tr", {"13a"}),
        ("ar", {"13a"}),
        ("zh", {"zh"}),
        ("ja", {"ja-mecab", "char"}),
        ("ko", {"ko-mecab", "char"}),
        ("th", {"char"}),
    ],
)
def test_the_target_language_decides_the_tokens_of_bleu(language, tokenizers):
    assert bleu_tokenizer(language) in tokenizers
    text = "天气 一 二 三 四 五"
    assert translation_scores([text], [text], 1, language)["bleu"] == pytest.approx(100)


def test_the_record_of_the_ids_names_the_normalisation(tmp_path):
    model = vocabulary(tmp_path, "identity")
    binarise(model, ["txt"], {"train": tmp_path / "zh"}, tmp_path)
    assert json.loads((tmp_path / "tokens.json").read_text())["normalisation"] == "identity"
