"""Dropout of a residual branch with fewer operations on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor

# A mask is drawn from 16 random bits, so dropout rates are rounded to multiples of 1/65,536.
PARTS = 2**16


def add_dropped(module, residual: Tensor, x: Tensor) -> Tensor:
    """Add `x`, after fairseq's dropout module, to `residual`.

    On a CPU, four 16-bit masks are taken from every 64-bit random number, and the mask and the
    scale are one factor that is multiplied and added in one operation.

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
        # The 16 bits as an integer; the smallest is -32,768.
        kept = bits.view(torch.int16)[: x.numel()].view(x.shape) >= dropped - PARTS // 2
        mask = kept.to(x.dtype).mul_(PARTS / (PARTS - dropped))
        ctx.save_for_backward(mask)
        return torch.addcmul(residual, x, mask)

    @staticmethod
    def backward(ctx, gradient):
        (mask,) = ctx.saved_tensors
        return gradient, gradient * mask, None
