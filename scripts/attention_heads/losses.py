"""Cross-entropy of a pass, with all logits or without keeping them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .handle import Output

# Words whose logits `linear_losses` holds at once: few enough to stay in a processor's cache.
WORDS_AT_ONCE = 2048


def cross_entropy(logits: Tensor, targets: Tensor) -> Output:
    """The output of a pass from its logits.

    Parameters
    ----------
    logits : Tensor (sentences, length, vocabulary)
    targets : int Tensor (sentences, length)
        Negative where nothing is predicted.
    """
    predicted = targets >= 0
    losses = nn.functional.cross_entropy(
        logits.flatten(0, 1).float(), targets.where(predicted, 0).flatten(), reduction="none"
    )
    losses = losses.view(targets.shape)
    return Output(logits, torch.where(predicted, losses, 0.0), predicted)


def linear_losses(x: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
    """Cross-entropy of logits that are a linear map, computed for some words at a time.

    Logits of a large vocabulary are more numbers than everything else in a pass: writing and
    reading them takes a good part of its time.

    Parameters
    ----------
    x : Tensor (sentences, length, width)
    weight : Tensor (vocabulary, width)
    bias : Tensor (vocabulary,) or None
    targets : int Tensor (sentences, length)
        Negative where nothing is predicted.

    Returns
    -------
    Tensor (sentences, length)
        In nats; zero at positions without a target.
    """
    total = torch.full(targets.shape, -torch.inf, device=x.device)
    own = torch.zeros_like(total)
    for first in range(0, len(weight), WORDS_AT_ONCE):
        words = slice(first, first + WORDS_AT_ONCE)
        part = nn.functional.linear(x, weight[words], None if bias is None else bias[words]).float()
        total = torch.logaddexp(total, part.logsumexp(-1))
        place = targets - first
        inside = (place >= 0) & (place < part.shape[-1])
        found = part.gather(-1, place.where(inside, 0).unsqueeze(-1)).squeeze(-1)
        own = torch.where(inside, found, own)
    return torch.where(targets >= 0, total - own, 0.0)
