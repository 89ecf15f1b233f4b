"""Relevance adds up to the prediction where there are no biases, and follows the useful head."""

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
)

from attention_heads.alpha_beta import alpha_beta_relevance, hand_back
from attention_heads.errors import HeadsError
from attention_heads.passes import resume
from attention_heads.relevance import conservation, draw_positions, relevance

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("norm", ["pre", "post", None])
@pytest.mark.parametrize("encoder", [0, 2])
def test_without_biases_the_logit_arrives_at_every_layer(norm, encoder):
    handle = TinyHandle(encoder=encoder, norm=norm, bias=False)
    found = conservation(handle, random_batch(translation=bool(encoder)), seed=1)
    assert found.arrived.shape == (encoder + 3, 3)
    np.testing.assert_allclose(found.arrived, found.logits[None].repeat(encoder + 3, 0), atol=8e-6)
    assert found.bias_share.max() < 1e-5


def test_with_biases_a_part_of_the_logit_is_missing_and_reported():
    found = conservation(TinyHandle(norm="post"), random_batch(), seed=1)
    assert found.bias_share[0] > 0.05
    np.testing.assert_allclose(
        found.bias_share, np.abs(found.logits - found.arrived).mean(1) / np.abs(found.logits).mean()
    )


def test_relevance_is_the_heads_output_times_its_gradient():
    # A slow reference: the outputs of the heads themselves, one sentence at a time.
    handle, batch = TinyHandle(encoder=1), random_batch(translation=True)
    found = relevance(handle, [batch], seed=4)
    rows, positions = draw_positions(batch["targets"] >= 0, torch.Generator().manual_seed(4))
    kept = []
    block = handle.module["layers"][2].attentions["cross"]
    hook = block.out.register_forward_pre_hook(lambda module, inputs: kept.append(inputs[0]))
    output = resume(handle, handle.start(batch), frozen=True)
    hook.remove()
    for row in range(3):
        top = output.logits[row, positions[row]].max()
        (gradient,) = torch.autograd.grad(top, kept[0], retain_graph=True)
        by_head = (gradient * kept[0])[row].unflatten(-1, (4, -1)).sum((0, 2))
        np.testing.assert_allclose(
            found["cross"].by_sentence[row, 1], by_head.detach().numpy(), rtol=1e-3, atol=1e-6
        )


def test_shares_of_a_layer_sum_to_one_and_are_drawn_by_the_seed():
    handle, batches = TinyHandle(), [random_batch(seed=1), random_batch(seed=2)]
    first, again, other = (relevance(handle, batches, seed)["decoder"] for seed in (1, 1, 2))
    np.testing.assert_allclose(first.share.sum(-1), 1)
    np.testing.assert_array_equal(first.by_sentence, again.by_sentence)
    assert not np.array_equal(first.by_sentence, other.by_sentence)


def test_sentences_without_a_target_are_left_out_and_a_text_without_any_refused():
    batch = random_batch()
    batch["targets"][1] = -1
    assert relevance(TinyHandle(), [batch], 0)["decoder"].by_sentence.shape == (2, 2, 4)
    batch["targets"].fill_(-1)
    for function in (relevance, alpha_beta_relevance):
        with pytest.raises(HeadsError, match="no sentence has a target"):
            function(TinyHandle(), [batch], 0)


# The alpha-beta rule hands relevance to small contributions of either sign as well.
@pytest.mark.parametrize("function, least", [(relevance, 0.8), (alpha_beta_relevance, 0.4)])
def test_the_useful_head_is_the_most_relevant(function, least):
    share = function(planted(), copying_batches(), seed=0)["decoder"].share
    assert share[USEFUL_LAYER].argmax() == USEFUL_HEAD
    assert share[USEFUL_LAYER, USEFUL_HEAD] > least


@pytest.mark.parametrize("norm", ["pre", "post", None])
def test_alpha_beta_gives_no_negative_relevance_to_a_positive_prediction(norm):
    handle = TinyHandle(encoder=2, norm=norm)
    with torch.no_grad():
        handle.module["output"].bias += 5  # every logit is positive
    found = alpha_beta_relevance(handle, [random_batch(translation=True)], seed=0)
    assert set(found) == {"encoder", "decoder", "cross"}
    for each in found.values():
        assert each.by_sentence.min() >= 0
        np.testing.assert_allclose(each.share.sum(-1), 1)


def test_alpha_beta_agrees_with_a_full_jacobian():
    # One linear layer with mixed signs, by the formula and without any product of matrices.
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 5, generator=generator)
    weight, bias = torch.randn(3, 5, generator=generator), torch.randn(3, generator=generator)
    relevances = torch.rand(2, 3, generator=generator)
    high, low = weight.clamp(min=0), weight.clamp(max=0)
    found = hand_back(x, relevances, lambda y: y @ high.T, lambda y: y @ low.T, bias)
    for row in range(2):
        expected = torch.zeros(5)
        for v in range(3):
            parts = weight[v] * x[row]
            for sign in (1, -1):
                chosen = (parts * sign).clamp(min=0)
                total = chosen.sum() + (bias[v] * sign).clamp(min=0)
                expected += relevances[row, v] / 2 * chosen / total
        expected *= relevances[row].sum() / expected.sum()
        torch.testing.assert_close(found[row], expected, rtol=1e-3, atol=1e-4)


def test_an_output_without_negative_parts_loses_half_before_the_rescaling():
    x, relevances = torch.tensor([[1.0, 3.0]]), torch.tensor([[4.0, 1.0]])
    # The first output has positive parts only, the second both kinds.
    weight = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    high, low = weight.clamp(min=0), weight.clamp(max=0)
    found = hand_back(x, relevances, lambda y: y @ high.T, lambda y: y @ low.T, None)
    raw = torch.tensor([[4 / 2 * 1 / 4 + 1 / 2, 4 / 2 * 3 / 4 + 1 / 2]])
    assert raw.sum() == 3  # of 5: half of the first output's 4 is lost
    torch.testing.assert_close(found, raw * 5 / 3, rtol=1e-4, atol=1e-4)


def test_parts_that_compute_something_else_are_refused():
    handle = TinyHandle(norm="post")
    parts = handle.parts
    handle.parts = lambda stage: parts(0)
    with pytest.raises(HeadsError, match="do not compute what the model does"):
        alpha_beta_relevance(handle, [random_batch()], 0)
