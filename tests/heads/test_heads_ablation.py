"""Ablation, importance: one useful head is found; resuming equals the naive loop."""

import time

import numpy as np
import pytest
import torch
from head_models import (
    USEFUL_HEAD,
    USEFUL_LAYER,
    TinyHandle,
    copying_batches,
    planted,
    random_batch,
    with_identical_heads,
)

from attention_heads.ablation import ablate, ablation_cost
from attention_heads.errors import HeadsError
from attention_heads.importance import importance, importance_from_gradient
from attention_heads.passes import mean_loss, open_gates, resume
from attention_heads.quantities import Sentences
from attention_heads.relations import rank_agreement
from attention_heads.relevance import relevance

pytestmark = pytest.mark.usefixtures("one_thread")


def ablate_naively(handle, batches):
    """One whole pass for every head."""
    base = mean_loss(handle, batches)
    rises = {}
    for name, about in handle.attentions.items():
        rises[name] = np.zeros((about.layers, about.heads))
        for layer in range(about.layers):
            for head in range(about.heads):
                gates = open_gates(handle)
                gates[name][layer, head] = 0.0
                rises[name][layer, head] = mean_loss(handle, batches, gates) - base
    return rises


@pytest.mark.parametrize("copies", [1, 3, 8])
def test_resuming_above_the_head_equals_whole_passes(copies):
    handle = TinyHandle(encoder=2, norm="post")
    batches = [random_batch(translation=True, seed=seed) for seed in (1, 2)]
    found, expected = ablate(handle, batches, copies), ablate_naively(handle, batches)
    for name, each in expected.items():
        np.testing.assert_allclose(found[name].rise, each, atol=2e-6)
        assert np.abs(each).max() > 1e-3


def test_logits_are_computed_only_where_there_is_a_target(monkeypatch):
    handle, batch = TinyHandle(encoder=1), random_batch(translation=True)
    batch["targets"][:, ::2] = -1
    rows, finish = [], handle.finish

    def counting(state, frozen=False):
        rows.append(state["target"].shape[:2].numel())
        return finish(state, frozen)

    monkeypatch.setattr(handle, "finish", counting)
    ablate(handle, [batch], copies=1)
    targets = int((batch["targets"] >= 0).sum())
    heads = sum(x.layers * x.heads for x in handle.attentions.values())
    assert rows == [targets] * (heads + 1) and targets < batch["targets"].numel()


@pytest.mark.slow
def test_resuming_is_at_least_twice_as_fast_as_whole_passes():
    handle = TinyHandle(words=100, width=32, heads=4, layers=6, encoder=6)
    batches = [random_batch(8, 15, words=100, translation=True)]
    ablate(handle, batches)
    # The shortest of three: other programs may run beside this one.
    times = {ablate_naively: [], ablate: []}
    for _ in range(3):
        for function, found in times.items():
            start = time.perf_counter()
            function(handle, batches)
            found.append(time.perf_counter() - start)
    assert min(times[ablate_naively]) >= 2 * min(times[ablate]), times


def test_the_layers_to_run_are_counted_before():
    cost = ablation_cost(TinyHandle(layers=6, encoder=6, heads=8, width=16))
    # Encoder heads run 12 to 7 layers each, decoder heads (of two kinds) 6 to 1.
    assert cost.heads == 144 and cost.naive == 145 * 12
    assert cost.resumed == 12 + 8 * (57 + 2 * 21)


def test_one_useful_head_is_found_by_ablation_and_both_importances():
    handle, batches = planted(), copying_batches()
    assert mean_loss(handle, batches) < 0.1
    rise = ablate(handle, batches)["decoder"].rise
    worth = importance(handle, batches)["decoder"]
    for found in (rise, -worth.signed, worth.absolute):
        best = np.unravel_index(found.argmax(), found.shape)
        assert best == (USEFUL_LAYER, USEFUL_HEAD)
    others = np.delete(np.abs(rise).ravel(), 4 * USEFUL_LAYER + USEFUL_HEAD)
    assert rise[USEFUL_LAYER, USEFUL_HEAD] > 1 > 20 * others.max()


def test_identical_heads_are_worth_the_same():
    handle, batches = with_identical_heads(), [random_batch()]
    rise, worth = ablate(handle, batches)["decoder"].rise, importance(handle, batches)["decoder"]
    assert np.abs(rise).max() > 1e-4
    for found in (rise, worth.signed, worth.absolute):
        np.testing.assert_allclose(found, found[:, :1].repeat(4, 1), atol=1e-6)


def test_signed_importance_is_the_inner_product_of_out_projection_and_gradient():
    handle = TinyHandle(encoder=2, norm="post")
    batch = random_batch(translation=True)
    handle.module.eval()
    output = resume(handle, handle.start(batch))
    loss = output.losses.sum() / output.predicted.sum()
    for name, about in handle.attentions.items():
        signed = importance(handle, [batch])[name].signed
        for layer in range(about.layers):
            projection = handle.out_projection(name, layer)
            (gradient,) = torch.autograd.grad(loss, projection.parameter, retain_graph=True)
            found = importance_from_gradient(projection, gradient, about.heads)
            np.testing.assert_allclose(found.numpy(), signed[layer], atol=8e-8)


def test_importance_is_the_slope_of_the_loss_and_kept_sentence_by_sentence():
    handle, batch = TinyHandle(), random_batch()
    found = importance(handle, [batch])["decoder"]
    gates, step = open_gates(handle), 1e-2
    losses = []
    for sign in (1, -1):
        gates["decoder"][0, 1] = 1 + sign * step
        output = resume(handle, handle.start(batch), gates=gates)
        losses.append(output.losses.sum(-1) / output.predicted.sum(-1))
    slope = ((losses[0] - losses[1]) / (2 * step)).detach().numpy()
    np.testing.assert_allclose(found.by_sentence[:, 0, 1], slope, rtol=0.02, atol=2e-5)
    size = np.abs(found.by_sentence).mean(0)
    expected = size / np.linalg.norm(size, axis=-1, keepdims=True)
    np.testing.assert_allclose(found.absolute, expected)


def test_sentences_without_targets_count_for_nothing():
    handle, batch = TinyHandle(), random_batch()
    alone = {name: each[:1] for name, each in batch.items()}
    batch["targets"][1:] = -1
    for function in (ablate, importance):
        found, single = function(handle, [batch])["decoder"], function(handle, [alone])["decoder"]
        assert np.isnan(found.by_sentence[1:]).all()
        np.testing.assert_allclose(found.by_sentence[0], single.by_sentence[0], atol=1e-6)
    batch["targets"].fill_(-1)
    for function in (ablate, importance):
        with pytest.raises(HeadsError, match="no target tokens"):
            function(handle, [batch])


def test_looking_at_heads_leaves_no_gradients_and_no_other_mode():
    handle = TinyHandle()
    handle.module.train()
    ablate(handle, [random_batch()])
    importance(handle, [random_batch()])
    assert handle.module.training
    assert all(parameter.grad is None for parameter in handle.module.parameters())


def test_a_model_of_one_head_per_layer_is_measured_but_has_no_ranks():
    handle, batches = TinyHandle(heads=1), [random_batch()]
    rise, worth = ablate(handle, batches)["decoder"], importance(handle, batches)["decoder"]
    assert (worth.absolute == 1).all() and (rise.rise != 0).all()
    assert (relevance(handle, batches, 0)["decoder"].share == 1).all()
    sentences = [Sentences(each.by_sentence, each.targets) for each in (rise, worth)]
    found = rank_agreement(*sentences, seed=0)
    assert np.isnan(found.value) and "ranks within layers need at least 2" in found.reason
