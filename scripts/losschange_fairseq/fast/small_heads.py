"""Attention on a CPU where heads are narrow.

With a head of 4 to 16 numbers the products of attention are all overhead. Here every product has
the head's width as its first dimension, which a CPU's matrix library multiplies several times
faster than as its last; the weights are kept for the way back.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

WIDEST = 16
LONGEST = 256


def suits(x: Tensor, source: Tensor, width: int) -> bool:
    """Whether `attend` is the faster way.

    Parameters
    ----------
    x, source : Tensor (batch, length, width of the model)
        Who looks, and at what.
    width : int
        Of a head.
    """
    small = width <= WIDEST and max(x.shape[1], source.shape[1]) <= LONGEST
    half = torch.is_autocast_enabled("cpu")
    return small and x.device.type == "cpu" and x.dtype == torch.float32 and not half


def attend(query: Tensor, key: Tensor, value: Tensor, causal: bool, seen: Tensor | None) -> Tensor:
    """What scaled_dot_product_attention gives, transposed, in float32 and without dropout.

    Parameters
    ----------
    query, key, value : Tensor (batch x heads, width of a head, length)
    causal : bool
    seen : bool Tensor (batch, 1, 1, key length) or None
        False where nobody may look.

    Returns
    -------
    Tensor (batch x heads, width of a head, length)
    """
    return _Attend.apply(query, key, value, query.shape[1] ** -0.5, causal, seen)


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query, key, value, scale, causal, seen):
        # (batch x heads, length, key length)
        weights = torch.bmm((query * scale).transpose(1, 2), key)
        if causal:
            weights += _future(query.shape[2], key.shape[2])
        if seen is not None:
            per_sentence = weights.view(seen.shape[0], -1, *weights.shape[1:])
            per_sentence.masked_fill_(seen.logical_not(), float("-inf"))
        weights = torch.softmax(weights, dim=2)
        ctx.save_for_backward(query, key, value, weights)
        ctx.scale = scale
        return torch.bmm(value, weights.transpose(1, 2))

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        query, key, value, weights = ctx.saved_tensors
        of_value = torch.bmm(gradient, weights)
        of_weights = torch.bmm(gradient.transpose(1, 2), value)
        of_scores = torch._softmax_backward_data(of_weights, weights, 2, weights.dtype)
        of_query = torch.bmm(key, of_scores.transpose(1, 2)).mul_(ctx.scale)
        of_key = torch.bmm(query, of_scores).mul_(ctx.scale)
        return of_query, of_key, of_value, None, None, None


_FUTURE: dict[tuple[int, int], Tensor] = {}


def _future(length: int, keys: int) -> Tensor:
    """0 where a position may look, minus infinity after it."""
    if (length, keys) not in _FUTURE:
        _FUTURE[length, keys] = torch.full((length, keys), float("-inf")).triu_(1)
    return _FUTURE[length, keys]
