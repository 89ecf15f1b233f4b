"""Hard-concrete gates: random gates that are exactly 0 or exactly 1 with some probability.

Louizos et al. 2018, with the constants of the public code of Voita et al. 2019.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

TEMPERATURE = 0.33
LOW, HIGH = -0.1, 1.1
# Shift of the log-odds at which the stretched distribution is cut off.
_SHIFT = TEMPERATURE * math.log(-LOW / HIGH)


def draw_gates(log_alpha: Tensor, generator: torch.Generator) -> Tensor:
    """One draw of every gate, differentiable in log_alpha.

    Parameters
    ----------
    log_alpha : Tensor
        Log-odds of a gate that is rather open.
    generator : torch.Generator
        Of the CPU.
    """
    uniform = torch.rand(log_alpha.shape, generator=generator).clamp(1e-6, 1 - 1e-6)
    noise = uniform.logit().to(log_alpha)
    soft = torch.sigmoid((noise + log_alpha) / TEMPERATURE)
    return (soft * (HIGH - LOW) + LOW).clamp(0.0, 1.0)


def probability_not_closed(log_alpha: Tensor) -> Tensor:
    """P(g > 0). Its sum is the expected L0 norm, the number of heads that are kept."""
    return torch.sigmoid(log_alpha - _SHIFT)


def probability_closed(log_alpha: Tensor) -> Tensor:
    """P(g = 0)."""
    return torch.sigmoid(_SHIFT - log_alpha)


def probability_open(log_alpha: Tensor) -> Tensor:
    """P(g = 1)."""
    return torch.sigmoid(log_alpha + _SHIFT)


def typical_gates(log_alpha: Tensor) -> Tensor:
    """The gate without noise and temperature: exactly 0 or 1 outside log_alpha = -2.4 to 2.4."""
    return (torch.sigmoid(log_alpha) * (HIGH - LOW) + LOW).clamp(0.0, 1.0)
