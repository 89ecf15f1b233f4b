"""Dropout of a residual branch in few steps on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor

# Masks are drawn from 16 bits each: a share of a 65,536th is the finest.
PARTS = 2**16


def add_dropped(module, residual: Tensor, x: Tensor) -> Tensor:
    """`residual` plus what fairseq's dropout module leaves of `x`.

    On a CPU four masks come from every random number, and mask and scale are one factor, applied
    with the sum.

    Parameters
    ----------
    module : fairseq.modules.FairseqDropout
    residual, x : Tensor
        Of one shape.
    """
    drops = module.p and module.training
    if not drops or x.device.type != "cpu" or x.dtype != residual.dtype:
        return residual + module(x)
    return _AddDropped.apply(residual, x, round(module.p * PARTS))


class _AddDropped(torch.autograd.Function):
    @staticmethod
    def forward(ctx, residual, x, dropped):
        bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        # The sixteen bits as a number from -32,768.
        kept = bits.view(torch.int16)[: x.numel()].view(x.shape) >= dropped - PARTS // 2
        mask = kept.to(x.dtype).mul_(PARTS / (PARTS - dropped))
        ctx.save_for_backward(mask)
        return torch.addcmul(residual, x, mask)

    @staticmethod
    def backward(ctx, gradient):
        (mask,) = ctx.saved_tensors
        return gradient, gradient * mask, None
