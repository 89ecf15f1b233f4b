"""Confidence: one-hot attention gives 1, uniform attention over m keys gives 1/m."""

import numpy as np
import pytest
import torch
from head_models import TinyHandle, random_batch

from attention_heads.confidence import confidence, head_confidence
from attention_heads.errors import HeadsError
from attention_heads.handle import Attention, Tokens

pytestmark = pytest.mark.usefixtures("one_thread")

BOTH_WAYS = Attention("encoder", 1, 2, "source", "source")
CAUSAL = Attention("decoder", 1, 2, "target", "target", causal=True)


def text(length, present=None, content=None):
    ones = torch.ones(1, length, dtype=torch.bool)
    present = ones if present is None else present
    return Tokens(ones.long(), present, present if content is None else content)


def test_one_hot_attention_has_confidence_one():
    weights = torch.eye(6)[torch.randperm(6)].expand(1, 2, 6, 6)
    plain, adjusted, queries = head_confidence(weights, text(6), text(6), BOTH_WAYS)
    assert plain.tolist() == [[1, 1]] and adjusted.tolist() == [[1, 1]]
    assert queries.tolist() == [6]


@pytest.mark.parametrize("keys", [2, 5, 11])
def test_uniform_attention_has_confidence_one_over_the_keys_and_adjusted_zero(keys):
    weights = torch.full((1, 2, keys, keys), 1 / keys)
    plain, adjusted, _ = head_confidence(weights, text(keys), text(keys), BOTH_WAYS)
    assert plain.numpy() == pytest.approx(1 / keys)
    assert adjusted.numpy() == pytest.approx(0, abs=1e-6)


def test_the_first_four_queries_of_a_causal_model_do_not_count():
    length = 7
    rows = torch.ones(length, length).tril()
    weights = (rows / rows.sum(-1, keepdim=True)).expand(1, 2, length, length)
    plain, adjusted, queries = head_confidence(weights, text(length), text(length), CAUSAL)
    assert queries.tolist() == [3]
    assert plain.numpy() == pytest.approx(np.mean([1 / 5, 1 / 6, 1 / 7]))
    assert adjusted.numpy() == pytest.approx(0, abs=1e-6)


def test_symbols_of_the_end_count_neither_as_keys_nor_as_queries():
    content = torch.tensor([[True, True, True, False]])
    side = text(4, content=content)
    # Everything goes to the end symbol, but for a rest of 0.1 on the first word.
    weights = torch.tensor([0.1, 0, 0, 0.9]).expand(1, 2, 4, 4)
    plain, _, queries = head_confidence(weights, side, side, BOTH_WAYS)
    assert queries.tolist() == [3]
    assert plain.numpy() == pytest.approx(0.1)


def test_sentences_are_weighed_by_their_queries_and_padding_changes_nothing():
    handle = TinyHandle(encoder=2)
    batch = random_batch(translation=True, sentences=3)
    found = confidence(handle, [batch])["encoder"]
    for row in range(3):
        length = int((batch["source"][row] != 0).sum())
        alone = {
            "source": batch["source"][row : row + 1, :length],
            "target": batch["target"][row : row + 1],
            "targets": batch["targets"][row : row + 1],
        }
        single = confidence(handle, [alone])["encoder"]
        np.testing.assert_allclose(single.by_sentence[0], found.by_sentence[row], rtol=1e-5)
    expected = np.average(found.by_sentence, axis=0, weights=found.queries)
    np.testing.assert_allclose(found.mean, expected)
    assert found.queries.tolist() == [8, 7, 6]


def test_without_text_there_is_no_confidence():
    with pytest.raises(HeadsError, match="no batches"):
        confidence(TinyHandle(), [])
    short = random_batch(length=4)
    assert np.isnan(confidence(TinyHandle(), [short])["decoder"].mean).all()
