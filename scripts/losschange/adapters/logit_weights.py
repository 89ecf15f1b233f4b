"""How much a loss counts every target token, seen where its gradient enters the logits."""

from __future__ import annotations

import torch
from torch import Tensor

from losschange.errors import RecordingError

# Positions of a batch that are looked at closely; all are counted.
LOOKED_AT = 1024
# A cross entropy leaves no more than this share of the gradients' squares unexplained, beside what
# rounding does to them.
UNEXPLAINED = 1e-6


class LogitWeights:
    """The weight of target tokens in a cross entropy, with or without label smoothing.

    The derivative of c * cross entropy by a logit is c * (p - y), with p the softmax and y what
    was wanted. At classes other than the target, y is the same for all: along them, the
    derivative is a straight line over p whose slope is c. This holds whoever computes the loss.

    Parameters
    ----------
    logits : Tensor
        (..., classes), as the model returned them, before the backward pass.
    """

    def __init__(self, logits: Tensor):
        rows = logits.detach().reshape(-1, logits.shape[-1])
        places = torch.linspace(0, len(rows) - 1, min(LOOKED_AT, len(rows))).round().long()
        self._places = places.to(rows.device)
        self._logits = rows[self._places].clone()
        self._found: tuple[Tensor, Tensor, Tensor] | None = None
        logits.register_hook(self._arrived)

    def result(self) -> tuple[Tensor, Tensor]:
        """(sum of the weights of all target tokens, their number); both 0 without any.

        Raises
        ------
        RecordingError
            If no gradient came, or it is not that of a cross entropy.
        """
        if self._found is None:
            raise RecordingError(
                "the loss that is trained does not come from the model's logits, so it cannot be "
                "seen what its gradients must be multiplied by; give the callback gradient_scale"
            )
        weight, targets, fits = self._found
        if not bool(fits):
            raise RecordingError(
                "the loss that is trained is not a cross entropy of the model's logits that counts "
                "all target tokens alike, so it cannot be seen what its gradients must be "
                "multiplied by; give the callback gradient_scale"
            )
        return weight, targets

    def _arrived(self, gradient: Tensor) -> None:
        rows = gradient.detach().reshape(-1, gradient.shape[-1])
        targets = rows.ne(0).any(dim=1).sum()
        slopes = rows[self._places].double()
        probabilities = self._logits.double().softmax(dim=1)
        # The target is the class with the smallest derivative or, once it is nearly certain, the
        # most likely one; a row without a target has no derivative at all.
        others = torch.ones_like(slopes)
        others.scatter_(1, slopes.argmin(dim=1, keepdim=True), 0.0)
        others.scatter_(1, probabilities.argmax(dim=1, keepdim=True), 0.0)
        others *= slopes.ne(0).any(dim=1, keepdim=True)
        number = others.sum(dim=1, keepdim=True).clamp(min=1)
        p = (probabilities - (probabilities * others).sum(1, keepdim=True) / number) * others
        g = (slopes - (slopes * others).sum(1, keepdim=True) / number) * others
        squares = p.square().sum()
        weight = (p * g).sum() / squares.clamp(min=torch.finfo(torch.float64).tiny)
        # Off the line, and sums over all classes, which are 0 for p - y.
        rounding = (2 * torch.finfo(gradient.dtype).eps) ** 2
        off = (g - weight * p).square().sum()
        straight = off <= UNEXPLAINED * g.square().sum() + rounding * slopes.square().sum()
        size = slopes.abs().sum(dim=1).square().sum()
        balanced = slopes.sum(dim=1).square().sum() <= (UNEXPLAINED + rounding) * size
        self._found = weight * targets, targets, straight & balanced
        del self._logits
