"""Faster attention on a CPU for heads with few dimensions.

With 4 to 16 dimensions per head, overhead dominates the matrix products of attention. Here the
head's width is the first dimension of every product: a CPU's matrix library is several times
faster with this layout. The attention weights are stored for the backward pass.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

WIDEST = 16
LONGEST = 256
# Over fewer keys than a CPU's vector holds, torch.softmax works on one number at a time; a few
# passes over the whole tensor take a seventh of its time.
SHORT = 16


def suits(x: Tensor, source: Tensor, width: int) -> bool:
    """Whether `attend` and `attend_to_itself` are faster than PyTorch's attention.

    Parameters
    ----------
    x : Tensor (batch, length, width of the model)
        The sequence that the queries come from.
    source : Tensor (batch, source length, width of the model)
        The sequence that the keys and values come from.
    width : int
        Dimensions of one head.
    """
    small = width <= WIDEST and max(x.shape[1], source.shape[1]) <= LONGEST
    half = torch.is_autocast_enabled("cpu")
    return small and x.device.type == "cpu" and x.dtype == torch.float32 and not half


def attend(query: Tensor, key: Tensor, value: Tensor, causal: bool, seen: Tensor | None) -> Tensor:
    """Transposed scaled_dot_product_attention, in float32 and without dropout.

    Parameters
    ----------
    query, key, value : Tensor (batch x heads, width of a head, length)
    causal : bool
    seen : bool Tensor (1 or batch, 1, 1 or length, key length) or None
        False at keys that a query may not attend to.

    Returns
    -------
    Tensor (batch x heads, width of a head, length)
    """
    return _Attend.apply(query, key, value, causal, seen)


def attend_to_itself(
    x: Tensor, weights: Sequence[Tensor], heads: int, causal: bool, seen: Tensor | None
) -> Tensor:
    """Self-attention with `attend`; the query, key and value projections are included.

    Parameters
    ----------
    x : Tensor (batch, length, width)
    weights : sequence of Tensor
        Matrices (width, width) of query, key and value, then their biases (width,).
    heads : int
    causal : bool
    seen : bool Tensor (1 or batch, 1, 1 or length, length) or None

    Returns
    -------
    Tensor (batch x heads, width of a head, length)
    """
    return _AttendToItself.apply(x, heads, causal, seen, *weights)


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query, key, value, causal, seen):
        weights = _weights(query, key, causal, seen)
        ctx.save_for_backward(query, key, value, weights)
        return torch.bmm(value, weights.transpose(1, 2))

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        query, key, value, weights = ctx.saved_tensors
        found = [torch.empty_like(one) for one in (query, key, value)]
        _way_back(gradient, query, key, value, weights, found)
        return *found, None, None


class _AttendToItself(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, heads, causal, seen, *parameters):
        batch, length, width = x.shape
        rows, matrix = x.reshape(-1, width), torch.cat(parameters[:3])
        found = torch.addmm(torch.cat(parameters[3:]), rows, matrix.t())
        # (3, batch x heads, width of a head, length)
        found = found.view(batch, length, 3, heads, -1).permute(2, 0, 3, 4, 1).flatten(1, 2)
        query, key, value = found.unbind(0)
        weights = _weights(query, key, causal, seen)
        ctx.save_for_backward(rows, matrix, found, weights)
        ctx.shape = x.shape
        return torch.bmm(value, weights.transpose(1, 2))

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        rows, matrix, projected, weights = ctx.saved_tensors
        batch, length, width = ctx.shape
        found = torch.empty_like(projected)
        _way_back(gradient, *projected.unbind(0), weights, found.unbind(0))
        # (batch x length, 3 x width)
        found = found.view(3, batch, -1, length).permute(1, 3, 0, 2).reshape(-1, 3 * width)
        return (
            (found @ matrix).view(ctx.shape),
            *(None, None, None),
            *(found.t() @ rows).chunk(3),
            *found.sum(dim=0).chunk(3),
        )


def _weights(query: Tensor, key: Tensor, causal: bool, seen: Tensor | None) -> Tensor:
    """Attention weights (batch x heads, length, key length)."""
    weights = torch.bmm((query * _scale(query)).transpose(1, 2), key)
    if causal:
        weights += _future(query.shape[2], key.shape[2])
    if seen is not None:
        per_sentence = weights.view(seen.shape[0], -1, *weights.shape[1:])
        hidden = seen.logical_not()
        if seen.shape[2] == 1:
            per_sentence.masked_fill_(hidden, float("-inf"))
        else:
            # One mask for all heads: adding it is faster than filling.
            per_sentence += torch.zeros(seen.shape).masked_fill_(hidden, float("-inf"))
    if weights.shape[2] >= SHORT:
        return torch.softmax(weights, dim=2, out=weights)
    weights.sub_(weights.amax(dim=2, keepdim=True)).exp_()
    return weights.div_(weights.sum(dim=2, keepdim=True))


def _way_back(
    gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, weights: Tensor, found
) -> None:
    """Backward pass: write the gradients of query, key and value into the tensors of `found`."""
    of_query, of_key, of_value = found
    torch.bmm(gradient, weights, out=of_value)
    of_weights = torch.bmm(gradient.transpose(1, 2), value)
    if weights.shape[2] >= SHORT:
        of_scores = torch._softmax_backward_data(
            of_weights, weights, 2, weights.dtype, grad_input=of_weights
        )
    else:
        # w_k (g_k - Σ_j w_j g_j), where w are the weights and g their gradients.
        of_scores = of_weights.mul_(weights)
        of_scores.addcmul_(weights, of_scores.sum(dim=2, keepdim=True), value=-1)
    torch.bmm(key, of_scores.transpose(1, 2), out=of_query).mul_(_scale(query))
    torch.bmm(query, of_scores, out=of_key).mul_(_scale(query))


def _scale(query: Tensor) -> float:
    return query.shape[1] ** -0.5


_FUTURE: dict[tuple[int, int], Tensor] = {}


def _future(length: int, keys: int) -> Tensor:
    """Causal mask: 0 at the keys up to a query's position, minus infinity after it."""
    if (length, keys) not in _FUTURE:
        _FUTURE[length, keys] = torch.full((length, keys), float("-inf")).triu_(1)
    return _FUTURE[length, keys]
