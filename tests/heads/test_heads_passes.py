"""Passes can be resumed at any layer, gated head by head, and frozen without changing values."""

import pytest
import torch
from head_models import TinyHandle, random_batch

from attention_heads import losses
from attention_heads.errors import HeadsError, HiddenHeadsError
from attention_heads.passes import (
    attention_weights,
    evaluating,
    mean_loss,
    open_gates,
    repeated,
    resume,
    states_of,
    weight_norms,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("frozen", [False, True])
def test_resuming_at_any_layer_gives_the_whole_pass(frozen):
    handle = TinyHandle(encoder=2, norm="post")
    batch = random_batch(translation=True)
    whole = resume(handle, handle.start(batch), frozen=frozen)
    for number, state in enumerate(states_of(handle, batch)):
        again = resume(handle, state, number)
        torch.testing.assert_close(again.losses, whole.losses)


def test_open_gates_change_nothing_and_a_closed_layer_adds_only_its_bias():
    handle, batch = TinyHandle(), random_batch()
    plain = resume(handle, handle.start(batch))
    gates = open_gates(handle, 3)
    torch.testing.assert_close(
        resume(handle, handle.start(batch), gates=gates).logits, plain.logits
    )
    with torch.no_grad():
        handle.module["layers"][1].attentions["decoder"].out.weight.zero_()
    without = resume(handle, handle.start(batch))
    gates["decoder"][:, 1] = 0.0
    closed = resume(TinyHandle(), handle.start(batch), gates=gates)
    torch.testing.assert_close(closed.logits, without.logits)


def test_gates_of_sentences_close_heads_in_that_sentence_only():
    handle, batch = TinyHandle(), random_batch()
    gates = open_gates(handle, 3)
    gates["decoder"][1, 0, 2] = 0.0
    plain = resume(handle, handle.start(batch)).losses
    gated = resume(handle, handle.start(batch), gates=gates).losses
    changed = (plain - gated).abs().sum(1) > 1e-6
    assert changed.tolist() == [False, True, False]


def test_copies_of_a_state_stand_one_after_the_other():
    handle, batch = TinyHandle(), random_batch()
    once = resume(handle, handle.start(batch)).losses
    twice = resume(handle, repeated(handle.start(batch), 2)).losses
    torch.testing.assert_close(twice, torch.cat([once, once]))


def test_the_mean_loss_is_per_target_token():
    handle = TinyHandle()
    batches = [random_batch(seed=1), random_batch(sentences=5, seed=2)]
    losses = [resume(handle, handle.start(batch)) for batch in batches]
    total = sum(each.losses.sum() for each in losses) / sum(e.predicted.sum() for e in losses)
    assert mean_loss(handle, batches) == pytest.approx(total.item(), rel=1e-5)


def test_a_text_without_targets_has_no_loss():
    batch = random_batch()
    batch["targets"].fill_(-1)
    with pytest.raises(HeadsError, match="no target tokens"):
        mean_loss(TinyHandle(), [batch])


def test_a_model_that_shows_no_weights_is_refused():
    class Blind(TinyHandle):
        def step(self, stage, state, gates=None, frozen=False, weights=None):
            return super().step(stage, state, gates, frozen)

    with pytest.raises(HiddenHeadsError, match="layer 0 of the decoder attention gives no"):
        attention_weights(Blind(), random_batch())


def test_modes_are_put_back_module_by_module():
    module = TinyHandle().module
    module["output"].eval()
    module["words"].weight.requires_grad_(False)
    with evaluating(module):
        assert not any(each.training for each in module.modules())
        assert not any(each.requires_grad for each in module.parameters())
    assert module.training and not module["output"].training
    fixed = {name for name, each in module.named_parameters() if not each.requires_grad}
    assert fixed == {"words.weight"}


@pytest.mark.parametrize("bias", [True, False])
def test_losses_without_all_logits_are_the_cross_entropy(bias, monkeypatch):
    monkeypatch.setattr(losses, "WORDS_AT_ONCE", 4)  # of 11: the last part is a smaller one
    torch.manual_seed(0)
    linear = torch.nn.Linear(5, 11, bias=bias)
    x, targets = 3 * torch.randn(2, 12, 5), torch.arange(-1, 23).view(2, 12) % 12 - 1
    expected = losses.cross_entropy(linear(x), targets)
    found = losses.linear_losses(x, linear.weight, linear.bias, targets)
    torch.testing.assert_close(found, expected.losses)
    assert not found[~expected.predicted].any() and set(targets.flatten().tolist()) >= {-1, 0, 10}


def test_the_norm_of_a_head_is_that_of_its_four_matrices():
    handle = TinyHandle(encoder=1)
    block = handle.module["layers"][2].attentions["cross"]
    rows = slice(4, 8)  # head 1
    parts = [p.weight[rows] for p in (block.query, block.key, block.value)]
    parts.append(block.out.weight[:, rows])
    expected = torch.cat([part.flatten() for part in parts]).norm().item()
    found = weight_norms(handle)
    assert found["cross"].shape == (2, 4)
    assert found["cross"][1, 1] == pytest.approx(expected)
