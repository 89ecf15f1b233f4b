"""Cross-entropy of a linear output layer that stores the matrix of logits only once.

Stock fairseq stores the logits (rows, vocabulary), their log-softmax and the gradients of both,
all in float32. Here the logits are stored once, in the precision of the matrix product. They are
converted to float32 a chunk of rows at a time, and the gradient overwrites the logits.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

ROWS = 2048


def linear_cross_entropy(
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    target: Tensor,
    ignored: int,
    compiled: bool = False,
) -> Tensor:
    """Sum over rows of -log softmax(features weight^T + bias)[target], in nats.

    Parameters
    ----------
    features : Tensor (rows, width)
    weight : Tensor (vocabulary, width)
    bias : Tensor (vocabulary,) or None
    target : int Tensor (rows,)
    ignored : int
        Rows with this target are left out of the sum.
    compiled : bool
        Whether the functions that process a chunk are compiled with torch.compile.

    Returns
    -------
    Tensor
        A float32 scalar; backward can be called once, because it overwrites the logits.
    """
    if torch.is_autocast_enabled(features.device.type):
        kind = torch.get_autocast_dtype(features.device.type)
        features, weight = features.to(kind), weight.to(kind)
        bias = None if bias is None else bias.to(kind)
    return _LinearCrossEntropy.apply(features, weight, bias, target, ignored, compiled)


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features, weight, bias, target, ignored, compiled):
        scores = functional.linear(features, weight, bias)
        losses, normalisers = [], []
        for part, words in zip(scores.split(ROWS), target.split(ROWS), strict=True):
            loss, normaliser = _chosen(_loss_of_chunk, compiled)(part, words, ignored)
            losses.append(loss)
            normalisers.append(normaliser)
        ctx.save_for_backward(features, weight, scores, target, torch.cat(normalisers))
        ctx.ignored, ctx.compiled, ctx.has_bias = ignored, compiled, bias is not None
        ctx.used = False
        return torch.stack(losses).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        features, weight, scores, target, normalisers = ctx.saved_tensors
        if ctx.used:
            raise RuntimeError("the gradient was written over the scores: backward works once")
        ctx.used = True
        chunks = (scores.split(ROWS), target.split(ROWS), normalisers.split(ROWS))
        for part, words, normaliser in zip(*chunks, strict=True):
            _chosen(_gradient_of_chunk, ctx.compiled)(
                part, words, normaliser, gradient, ctx.ignored
            )
        needs = ctx.needs_input_grad
        return (
            scores @ weight if needs[0] else None,
            scores.t() @ features if needs[1] else None,
            scores.sum(dim=0) if ctx.has_bias and needs[2] else None,
            None,
            None,
            None,
        )


def _loss_of_chunk(scores: Tensor, target: Tensor, ignored: int) -> tuple[Tensor, Tensor]:
    """Sum of the losses of a chunk, and the log of the softmax denominator of every row."""
    normaliser = torch.logsumexp(scores.float(), dim=1)
    chosen = scores.gather(1, target.unsqueeze(1)).squeeze(1).float()
    return (normaliser - chosen).masked_fill(target == ignored, 0.0).sum(), normaliser


def _gradient_of_chunk(
    scores: Tensor, target: Tensor, normaliser: Tensor, gradient: Tensor, ignored: int
) -> None:
    """Overwrite a chunk of logits by the gradient of the loss with respect to them.

    The gradient is multiplied by `gradient`, the gradient of the sum of losses.
    """
    # (rows, 1): 0 in the ignored rows
    factor = (gradient * (target != ignored)).unsqueeze(1)
    rounded = (scores.float() - normaliser.unsqueeze(1)).exp_().mul_(factor)
    rounded.scatter_add_(1, target.unsqueeze(1), -factor)
    scores.copy_(rounded)


_COMPILED: dict = {}


def _chosen(function, compiled: bool):
    if not compiled:
        return function
    if function not in _COMPILED:
        _COMPILED[function] = torch.compile(function)
    return _COMPILED[function]
