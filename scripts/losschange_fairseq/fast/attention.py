"""Multi-head attention without materialised causal masks and without attention weights.

The functions take fairseq's own MultiheadAttention modules and use their parameters. All tensors
are batch first: (batch, length, width).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional

from .small_heads import attend, attend_to_itself, suits


@contextmanager
def without_plans(lengths_change: bool) -> Iterator[None]:
    """Do not use cuDNN's attention where the lengths change from batch to batch.

    On Hopper GPUs PyTorch prefers cuDNN's attention, which builds a plan for every new pair of
    batch size and length. A plan takes some 30 ms, and one forward and backward pass of a
    translation model needs six. PyTorch's own kernels need no plans.

    Parameters
    ----------
    lengths_change : bool
        If False, PyTorch's choice of kernels is not changed.
    """
    allowed = torch.backends.cuda.cudnn_sdp_enabled()
    torch.backends.cuda.enable_cudnn_sdp(allowed and not lengths_change)
    try:
        yield
    finally:
        torch.backends.cuda.enable_cudnn_sdp(allowed)


def self_attention(block, x: Tensor, causal: bool, seen: Tensor | None) -> Tensor:
    """Self-attention: queries, keys and values come from the same sequence.

    Parameters
    ----------
    block : fairseq.modules.MultiheadAttention
    x : Tensor (batch, length, width)
    causal : bool
        Whether a position attends only to itself and to the positions before it.
    seen : bool Tensor (1 or batch, 1, 1 or length, length) or None
        False at keys that a query may not attend to; None if there are no such keys.
    """
    projections = (block.q_proj, block.k_proj, block.v_proj)
    if _narrow(block, x, x):
        weights = [p.weight for p in projections] + [p.bias for p in projections]
        mixed = attend_to_itself(x, weights, block.num_heads, causal, seen)
        return _leave_narrow(block, mixed, x)
    return _mix(block, *_project(block, x, projections), causal, seen)


def cross_attention(block, x: Tensor, source: Tensor, seen: Tensor | None) -> Tensor:
    """Cross-attention: queries come from the target, keys and values from the source.

    Parameters
    ----------
    block : fairseq.modules.MultiheadAttention
    x : Tensor (batch, length, width)
        The target.
    source : Tensor (batch, source length, width)
    seen : bool Tensor (batch, 1, 1, source length) or None
        False at the padding of the source; None if there is no padding.
    """
    asking, answering = (block.q_proj,), (block.k_proj, block.v_proj)
    if _narrow(block, x, source):
        query = _project_narrow(block, x, asking)
        found = _project_narrow(block, source, answering)
        return _leave_narrow(block, attend(*query, *found, False, seen), x)
    return _mix(
        block, *_project(block, x, asking), *_project(block, source, answering), False, seen
    )


def _dropout(block) -> float:
    return block.dropout_module.p if block.training else 0.0


def _narrow(block, x: Tensor, source: Tensor) -> bool:
    return not _dropout(block) and suits(x, source, block.head_dim)


def _product(x: Tensor, projections) -> Tensor:
    """All projections, (batch, length, number x width), computed in one matrix product."""
    weight, bias = projections[0].weight, projections[0].bias
    if len(projections) > 1:
        weight = torch.cat([projection.weight for projection in projections])
        bias = torch.cat([projection.bias for projection in projections])
    return functional.linear(x, weight, bias)


def _project(block, x: Tensor, projections) -> tuple[Tensor, ...]:
    """Projections of x, each of shape (batch, heads, length, width of a head)."""
    shape = (len(projections), block.num_heads, block.head_dim)
    return _product(x, projections).unflatten(2, shape).permute(2, 0, 3, 1, 4).unbind(0)


def _mix(block, query: Tensor, key: Tensor, value: Tensor, causal: bool, seen) -> Tensor:
    mixed = functional.scaled_dot_product_attention(
        query, key, value, attn_mask=seen, dropout_p=_dropout(block), is_causal=causal
    )
    return block.out_proj(mixed.transpose(1, 2).flatten(2))


def _project_narrow(block, x: Tensor, projections) -> tuple[Tensor, ...]:
    """Projections of x, each of shape (batch x heads, width of a head, length)."""
    shape = (len(projections), block.num_heads, block.head_dim)
    rows = _product(x, projections).unflatten(2, shape).permute(2, 0, 3, 4, 1)
    return rows.flatten(1, 2).unbind(0)


def _leave_narrow(block, mixed: Tensor, x: Tensor) -> Tensor:
    """Join the heads: (batch x heads, width of a head, length) to (batch, length, width)."""
    return block.out_proj(mixed.view(x.shape[0], -1, x.shape[1]).transpose(1, 2))
