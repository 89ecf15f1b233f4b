"""Cross-entropy of a linear output layer that keeps one matrix of scores, and no copies of it.

Stock fairseq holds the scores (rows, vocabulary), their logarithmic softmax and both gradients,
all of it in float32. Here the scores are held once, in the precision of the product; float32 exists
for a chunk of rows at a time, and the gradient is written over the scores.
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
        Rows with this target count nothing.
    compiled : bool
        Whether the work on a chunk goes through torch.compile.

    Returns
    -------
    Tensor
        A float32 scalar; backward works once.
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
    """Sum of the losses of a chunk and the logarithm of every row's normaliser, float32."""
    normaliser = torch.logsumexp(scores.float(), dim=1)
    chosen = scores.gather(1, target.unsqueeze(1)).squeeze(1).float()
    return (normaliser - chosen).masked_fill(target == ignored, 0.0).sum(), normaliser


def _gradient_of_chunk(
    scores: Tensor, target: Tensor, normaliser: Tensor, gradient: Tensor, ignored: int
) -> None:
    """Replace a chunk of scores by the gradient of the loss by them, times `gradient`."""
    # (rows, 1): 0 in the rows that count nothing
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
