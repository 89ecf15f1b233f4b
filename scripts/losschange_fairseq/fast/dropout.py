"""Dropout whose masks cost a quarter on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor

# Masks are drawn from 16 bits each: a share of a 65,536th is the finest.
PARTS = 2**16


def dropout(module, x: Tensor) -> Tensor:
    """What fairseq's dropout module does; four masks from every random number on a CPU.

    Parameters
    ----------
    module : fairseq.modules.FairseqDropout
    x : Tensor
    """
    if x.device.type != "cpu" or not module.p or not module.training:
        return module(x)
    dropped = round(module.p * PARTS)
    bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    # The sixteen bits as a number from -32,768.
    kept = bits.view(torch.int16)[: x.numel()].view(x.shape) >= dropped - PARTS // 2
    return (x * kept) * (PARTS / (PARTS - dropped))
