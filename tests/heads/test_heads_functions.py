"""Positional and rare-token heads, with their known answers."""

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

from attention_heads.errors import HeadsError
from attention_heads.handle import Tokens
from attention_heads.positional import OFFSETS, largest_key, offset_counts, positional, text_keys
from attention_heads.rare import rare, rare_targets

pytestmark = pytest.mark.usefixtures("one_thread")


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("offset", OFFSETS)
def test_a_shifted_identity_looks_at_its_offset_wherever_there_is_a_key(offset):
    length = 9
    weights = torch.eye(length).roll(offset, dims=1).expand(2, 3, length, length)
    allowed = torch.ones(2, length, length, dtype=torch.bool)
    hits, chances = offset_counts(largest_key(weights, allowed, draw()), allowed)
    rates = hits / chances
    expected = [float(each == offset) for each in OFFSETS]
    assert rates.tolist() == [expected] * 3
    assert chances.tolist() == [2 * (length - abs(each)) for each in OFFSETS]


def test_ties_are_broken_at_random():
    weights = torch.full((50, 1, 20, 4), 0.25)
    allowed = torch.tensor([True, True, False, True]).expand(50, 20, 4)
    looked = largest_key(weights, allowed, draw())
    shares = torch.bincount(looked.flatten(), minlength=4) / looked.numel()
    assert shares.tolist() == pytest.approx([1 / 3, 1 / 3, 0, 1 / 3], abs=0.06)
    assert (largest_key(weights, torch.zeros_like(allowed), draw()) == -1).all()


def test_causal_queries_see_text_before_them_only():
    content = torch.tensor([[False, True, True, True, False]])
    present = torch.tensor([[True, True, True, True, False]])
    side = Tokens(torch.zeros(1, 5), present, content)
    seen = text_keys(side, side, causal=True)[0].int().tolist()
    assert seen == [[0] * 5, [0, 1, 0, 0, 0], [0, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0] * 5]


def test_the_head_that_looks_back_by_one_is_found_positional():
    found = positional(planted(), copying_batches(), seed=0)["decoder"]
    assert found.best_offset[USEFUL_LAYER, USEFUL_HEAD] == -1
    assert found.rates[USEFUL_LAYER, USEFUL_HEAD, OFFSETS.index(-1)] == 1
    # A causal model has no keys ahead: nothing can be said about these offsets.
    assert np.isnan(found.rates[..., 4:]).all() and (found.queries[4:] == 0).all()
    assert found.is_positional[USEFUL_LAYER, USEFUL_HEAD] and found.is_positional.sum() == 1


def test_a_model_without_training_has_no_positional_head():
    handle = TinyHandle(encoder=2, norm="post")
    batches = [random_batch(20, 10, translation=True, seed=seed) for seed in range(3)]
    found = positional(handle, batches, seed=0)
    assert not any(each.is_positional.any() for each in found.values())
    with pytest.raises(HeadsError, match="no batches"):
        positional(handle, [], seed=0)


def test_the_rarest_keys_are_those_that_a_query_can_see():
    ranks = torch.tensor([[3, 9, 9, 5]])
    allowed = torch.ones(4, 4).tril().bool()[None]
    targets, asked = rare_targets(ranks, allowed, frequent=5)
    rarest, two = targets[0].int().tolist()[3]
    assert rarest == [0, 1, 1, 0] and two == [0, 1, 1, 1]
    assert targets[0, 0].int().tolist() == [[1, 0, 0, 0], [1, 0, 0, 0]]
    assert asked.tolist() == [[False, True, True, True]]


class Watching(TinyHandle):
    """A translation model whose encoder heads have the given attention weights."""

    def __init__(self, aim):
        super().__init__(encoder=2)
        self.aim = aim

    def step(self, stage, state, gates=None, frozen=False, weights=None):
        state = super().step(stage, state, gates, frozen, weights)
        if weights and "encoder" in weights:
            weights["encoder"] = self.aim(state, weights["encoder"])
        return state


RANKS = torch.arange(11)


def test_a_head_that_looks_at_the_rarest_word_is_found():
    batches = [random_batch(12, 8, translation=True, padded=False)]
    ids = batches[0]["source"]

    def at_rarest(state, weights):
        rarest = RANKS[ids].masked_fill(ids < 2, -1).argmax(-1)
        return torch.nn.functional.one_hot(rarest, ids.shape[1])[:, None, None].expand_as(weights)

    found = rare(Watching(at_rarest), batches, {"source": RANKS, "target": RANKS}, 0, frequent=3)
    each = found["encoder"]
    assert (each.rates == 1).all() and each.reason is None
    assert (each.baseline < 0.5).all() and each.baseline[0] < each.baseline[1]
    assert each.queries == 12 * 9


def test_uniform_attention_finds_rare_words_as_often_as_chance():
    batches = [random_batch(200, 8, translation=True, padded=False)]

    def uniform(state, weights):
        return torch.full_like(weights, 1 / weights.shape[-1])

    found = rare(Watching(uniform), batches, {"source": RANKS, "target": RANKS}, 0, frequent=3)
    each = found["encoder"]
    np.testing.assert_allclose(each.rates, each.baseline[None, None].repeat(2, 0).repeat(4, 1),
                               atol=0.05)  # fmt: skip


def test_a_text_without_rare_words_cannot_tell():
    batch = random_batch(translation=True)
    found = rare(TinyHandle(encoder=2), [batch], {"source": RANKS, "target": RANKS}, 0)
    each = found["encoder"]
    assert np.isnan(each.rates).all() and each.rates.shape == (2, 4, 2) and each.queries == 0
    assert each.reason == "no sentence holds a token outside the 500 most frequent ones"
