"""Hard-concrete gates: their probabilities, and a pruning that keeps the one useful head."""

import math

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

from attention_heads import gates
from attention_heads.errors import HeadsError
from attention_heads.gates import Pruning, prices, train_gates
from attention_heads.hard_concrete import (
    draw_gates,
    probability_closed,
    probability_not_closed,
    probability_open,
    typical_gates,
)
from attention_heads.passes import mean_loss, resume

pytestmark = pytest.mark.usefixtures("one_thread")


def test_an_undecided_gate_is_closed_and_open_with_probability_0312():
    zero = torch.zeros(1)
    assert probability_closed(zero).item() == pytest.approx(0.312, abs=5e-4)
    assert probability_open(zero).item() == pytest.approx(0.312, abs=5e-4)


@pytest.mark.parametrize("log_alpha", [-1.5, 0.0, 0.7])
def test_draws_have_the_probabilities_of_the_formulas(log_alpha):
    value = torch.full((200_000,), log_alpha)
    drawn = draw_gates(value, torch.Generator().manual_seed(0))
    assert drawn.min() == 0 and drawn.max() == 1
    closed, opened = (drawn == 0).float().mean(), (drawn == 1).float().mean()
    assert closed.item() == pytest.approx(probability_closed(value[0]).item(), abs=4e-3)
    assert opened.item() == pytest.approx(probability_open(value[0]).item(), abs=4e-3)
    assert probability_not_closed(value[0]) + probability_closed(value[0]) == pytest.approx(1)
    if log_alpha == 0:
        assert drawn.mean().item() == pytest.approx(0.5, abs=3e-3)


def test_the_gate_without_noise_is_exact_beyond_log_odds_of_2398():
    values = torch.tensor([-2.40, -2.39, 0.0, 2.39, 2.40])
    gates = typical_gates(values)
    assert gates[0] == 0 and gates[4] == 1 and gates[2] == pytest.approx(0.5)
    assert 0 < gates[1] < 0.01 and 0.99 < gates[3] < 1


def test_prices_run_from_the_median_head_to_the_best():
    found = prices([np.array([[0.1, 0.2]]), np.array([[0.4, 0.8, 1.6]])])
    np.testing.assert_allclose(found, np.geomspace(0.4, 1.6, 5))
    found = prices([np.array([-1.0, -0.5, -0.1, 0.2, 0.8])], 2)
    np.testing.assert_allclose(found, [0.5, 0.8])
    with pytest.raises(HeadsError, match="no price"):
        prices([np.array([-0.1, 0.0])])


def prune(price, updates=150, **options):
    return train_gates(planted(), copying_batches(), price, updates, seed=1, **options)


def test_only_the_useful_head_is_kept_at_a_price_and_more_of_them_in_the_control_arm():
    found = prune(0.2)
    expected = np.zeros((2, 4), bool)
    expected[USEFUL_LAYER, USEFUL_HEAD] = True
    np.testing.assert_array_equal(found.kept["decoder"], expected)
    assert not found.undecided["decoder"].any() and found.reason is None
    assert found.open_heads[0] > 7.5 and found.open_heads[-1] < 1.5
    handle = planted()
    assert mean_loss(handle, copying_batches(), found.hard_gates(handle)) < 0.1
    assert prune(0.0).open_heads[-1] > found.open_heads[-1] + 2


def test_without_a_price_gates_that_change_nothing_stay_as_they_are():
    handle = planted(noise=0.0)
    found = train_gates(handle, copying_batches(), 0.0, 50, seed=1)
    assert found.kept["decoder"].all()
    others = np.delete(found.log_alpha["decoder"].ravel(), 4 * USEFUL_LAYER + USEFUL_HEAD)
    np.testing.assert_array_equal(others, 2.5)


def test_a_price_above_what_the_head_is_worth_closes_it_too():
    assert not prune(20.0).kept["decoder"].any()


def test_gates_that_have_no_time_are_reported():
    found = prune(0.2, updates=8)
    assert found.undecided["decoder"].sum() > 1
    assert "of 8 gates are neither open nor closed" in found.reason


def test_heads_are_kept_unless_closed_is_likelier_than_open():
    found = Pruning(0.1, {"decoder": np.array([[-3.0, -0.1, 0.1, 3.0]])}, np.ones(1), np.ones(1))
    assert found.kept["decoder"].tolist() == [[False, False, True, True]]
    assert found.undecided["decoder"].tolist() == [[False, True, True, False]]


def test_only_the_named_attentions_and_parameters_change():
    handle = TinyHandle(encoder=1)
    encoder = [*handle.module["layers"][0].parameters()]
    kept = {name: each.clone() for name, each in handle.module.named_parameters()}
    found = train_gates(
        handle, [random_batch(translation=True)], 0.01, 3, 0,
        attentions=["encoder"], parameters=encoder, model_learning_rate=1e-3,
    )  # fmt: skip
    assert set(found.log_alpha) == set(found.hard_gates(handle)) == {"encoder"}
    changed = {n for n, p in handle.module.named_parameters() if not torch.equal(p, kept[n])}
    assert changed == {name for name in kept if name.startswith("layers.0.")} - {
        # A query sees a shift of all its scores by the key's bias only as a constant.
        name for name in kept if name.endswith("key.bias") and name not in changed
    }  # fmt: skip
    assert len(changed) >= 10


def test_weights_move_as_with_adam_and_one_gradient_is_held_at_a_time():
    batches, updates = [random_batch(seed=1), random_batch(seed=2)], 4
    # Without gates that are drawn, the same updates can be made by hand.
    plain, pruned = TinyHandle(bias=False), TinyHandle(bias=False)
    optimizer = torch.optim.Adam(plain.module.parameters(), lr=1e-2, fused=True)
    for batch in batches * (updates // 2):
        output = resume(plain, plain.start(batch))
        optimizer.zero_grad()
        (output.losses.sum() / output.predicted.sum()).backward()
        optimizer.step()
    named = pruned.module.named_parameters()
    # A language model has no encoder.
    held, parameters = [], [each for name, each in named if not name.startswith("encoder_norm")]
    for each in parameters:
        each.register_post_accumulate_grad_hook(
            lambda _: held.append(sum(p.grad is not None for p in parameters))
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gates, "draw_gates", lambda log_alpha, generator: torch.ones(2, 4))
        train_gates(
            pruned, batches, 0.0, updates, 0, parameters=parameters, model_learning_rate=1e-2
        )
    assert set(held) == {1} and len(held) == updates * len(parameters)
    assert all(each.grad is None for each in parameters)
    for name, expected in plain.module.named_parameters():
        torch.testing.assert_close(pruned.module.get_parameter(name), expected)


def test_the_same_seed_gives_the_same_pruning_and_leaves_the_random_state_alone():
    torch.manual_seed(7)
    state = torch.get_rng_state()
    first, again = prune(0.2, 5), prune(0.2, 5)
    np.testing.assert_array_equal(first.log_alpha["decoder"], again.log_alpha["decoder"])
    torch.manual_seed(7)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"attentions": ["sideways"]}, "no such attention: sideways; the model has decoder"),
        ({"price": -1.0}, "price -1.0"),
        ({"batches": []}, "no batches"),
        ({"batches": iter(copying_batches(1))}, "read only once"),
    ],
)
def test_wrong_settings_are_refused(options, message):
    settings = {"batches": copying_batches(1), "price": 0.1, "updates": 2, "seed": 0, **options}
    with pytest.raises(HeadsError, match=message):
        train_gates(planted(), **settings)


def test_a_loss_that_is_not_finite_stops_the_training():
    handle = planted()
    with torch.no_grad():
        handle.module["output"].weight.fill_(math.nan)
    with pytest.raises(HeadsError, match="update 1: the loss is nan"):
        train_gates(handle, copying_batches(1), 0.1, 2, 0)
