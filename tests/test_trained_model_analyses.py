"""Analyses of attention heads run on the handle of a trained translation model."""

import argparse

import numpy as np
import pytest
import torch

from attention_heads.ablation import ablate
from attention_heads.alpha_beta import alpha_beta_relevance
from attention_heads.confidence import confidence
from attention_heads.gates import train_gates
from attention_heads.importance import importance
from attention_heads.passes import mean_loss, open_gates
from attention_heads.positional import positional
from attention_heads.relevance import relevance
from trained_models import train
from training.described_heads import known_syntax
from training.loading import restore_weights
from training.trained_model import TrainedModelHandle

OTHER = ["koira", "näkee", "kissan"]

# fairseq and hydra warn about their own use of torch and of each other.
pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def checkpoint(tokens, tmp_path_factory):
    folder = tmp_path_factory.mktemp("analyses")
    train(folder, "mt", tokens, "fast-pre")
    return folder / "checkpoint.pt"


@pytest.fixture(scope="module")
def handle(checkpoint, tokens):
    return TrainedModelHandle(checkpoint, tokens["mt"], device="cpu")


@pytest.fixture(scope="module")
def batches(handle):
    return list(handle.sentences("valid", 200))


def test_confidence_lies_between_uniform_and_one_hot_in_every_head(handle, batches):
    found = confidence(handle, batches)
    assert set(found) == {"encoder", "decoder", "cross"}
    for each in found.values():
        assert each.by_sentence.shape == (80, 2, 2)
        assert (each.mean > 0).all() and (each.mean < 1).all()


def test_in_a_model_without_queries_attention_is_uniform_and_no_head_has_a_position(
    handle, batches
):
    """Known answer: every key gets 1/m, which is an adjusted confidence of zero."""
    module = handle.module
    kept = {name: each.clone() for name, each in module.state_dict().items()}
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if ".q_proj." in name:
                parameter.zero_()
    try:
        found, places = confidence(handle, batches), positional(handle, batches, seed=1)
    finally:
        module.load_state_dict(kept)
    assert not any(each.is_positional.any() for each in places.values())
    for each in found.values():
        assert np.abs(each.adjusted).max() < 1e-6


def test_without_a_treebank_of_the_language_there_is_no_syntax_but_its_reason(handle, tmp_path):
    text, treebank = tmp_path / "train.en", tmp_path / "other.conllu"
    text.write_text("the dog sees a cat\n")
    rows = [[str(n), word, *"____", "0", "dep", "_", "_"] for n, word in enumerate(OTHER, 1)]
    treebank.write_text("\n".join("\t".join(row) for row in rows) + "\n\n")
    options = argparse.Namespace(
        model="mt-en-de", settings={}, relations=[[treebank]], valid_text=[], training_text=[text]
    )
    groups, reason = known_syntax(handle, options, ["source"])
    assert groups == [] and "is the treebank of another language?" in reason
    options.relations = []
    assert "there is no treebank of the language" in known_syntax(handle, options, ["source"])[1]


def test_every_pruning_can_start_from_the_weights_of_the_checkpoint(checkpoint, handle, batches):
    kept = {name: each.clone() for name, each in handle.module.state_dict().items()}
    learning = list(handle.module.parameters())
    train_gates(handle, batches, 0.0, 2, 1, parameters=learning, model_learning_rate=1e-2)
    assert any(not torch.equal(x, kept[name]) for name, x in handle.module.state_dict().items())
    restore_weights(handle.module, checkpoint)
    assert all(torch.equal(x, kept[name]) for name, x in handle.module.state_dict().items())


def test_ablation_importance_and_relevance_agree_with_the_handles_own_losses(handle, batches):
    base = mean_loss(handle, batches)
    rises, worth = ablate(handle, batches), importance(handle, batches)
    step = 1e-2
    for name in handle.attentions:
        layer, head = 1, 0
        closed = open_gates(handle)
        closed[name][layer, head] = 0.0
        expected = mean_loss(handle, batches, closed) - base
        assert rises[name].rise[layer, head] == pytest.approx(expected, abs=2e-6)
        ends = []
        for sign in (1, -1):
            gates = open_gates(handle)
            gates[name][layer, head] += sign * step
            ends.append(mean_loss(handle, batches, gates))
        slope = (ends[0] - ends[1]) / (2 * step)
        assert worth[name].signed[layer, head] == pytest.approx(slope, rel=0.05, abs=1e-4)
    assert max(np.abs(one.rise).max() for one in rises.values()) > 1e-4
    shares = relevance(handle, batches, seed=1)
    assert all(np.allclose(one.share.sum(-1), 1) for one in shares.values())


def test_the_alpha_beta_rule_runs_on_the_layers_of_the_model(handle, batches):
    """It checks by itself that the parts of the layers compute the model's logits."""
    found = alpha_beta_relevance(handle, batches[:1], seed=1)
    assert set(found) == set(handle.attentions)
    assert all(np.isfinite(each.share).all() for each in found.values())
