"""Multi-head attention without materialised causal masks and without attention weights.

Functions of fairseq's own MultiheadAttention modules, whose parameters they use. Everything is
batch first: (batch, length, width).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .small_heads import attend, suits


def self_attention(block, x: Tensor, causal: bool, seen: Tensor | None) -> Tensor:
    """Attention of a sequence to itself.

    Parameters
    ----------
    block : fairseq.modules.MultiheadAttention
    x : Tensor (batch, length, width)
    causal : bool
        Whether a position sees only itself and what precedes it.
    seen : bool Tensor (batch, 1, 1, length) or None
        False where nobody may look; None where everything may be seen.
    """
    projections = (block.q_proj, block.k_proj, block.v_proj)
    query, key, value = _project(block, x, projections)
    return _mix(block, query, key, value, causal, seen)


def cross_attention(block, x: Tensor, source: Tensor, seen: Tensor | None) -> Tensor:
    """Attention of a target (batch, length, width) to a source (batch, source length, width).

    Parameters
    ----------
    block : fairseq.modules.MultiheadAttention
    x, source : Tensor
    seen : bool Tensor (batch, 1, 1, source length) or None
    """
    (query,) = _project(block, x, (block.q_proj,))
    key, value = _project(block, source, (block.k_proj, block.v_proj))
    return _mix(block, query, key, value, False, seen)


def _project(block, x: Tensor, projections) -> tuple[Tensor, ...]:
    """Each (batch, heads, length, width of a head), in one product."""
    weight, bias = projections[0].weight, projections[0].bias
    if len(projections) > 1:
        weight = torch.cat([projection.weight for projection in projections])
        bias = torch.cat([projection.bias for projection in projections])
    batch, length, _ = x.shape
    shape = (batch, length, len(projections), block.num_heads, block.head_dim)
    return functional.linear(x, weight, bias).view(shape).permute(2, 0, 3, 1, 4).unbind(0)


def _mix(block, query: Tensor, key: Tensor, value: Tensor, causal: bool, seen) -> Tensor:
    dropout = block.dropout_module.p if block.training else 0.0
    if not dropout and suits(query, key):
        return block.out_proj(attend(query, key, value, causal, seen).transpose(1, 2).flatten(2))
    mixed = functional.scaled_dot_product_attention(
        query, key, value, attn_mask=seen, dropout_p=dropout, is_causal=causal
    )
    return block.out_proj(mixed.transpose(1, 2).flatten(2))
