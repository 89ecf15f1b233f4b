"""Measure the weight of every target token in a loss from the gradient of the logits."""

from __future__ import annotations

import torch
from torch import Tensor

from losschange.errors import RecordingError

# Number of positions of a batch that are checked for the form of a cross-entropy; all are counted.
LOOKED_AT = 1024
# Largest share of the squared gradients that may deviate from the form of a cross-entropy, in
# addition to rounding errors.
UNEXPLAINED = 1e-6


class LogitWeights:
    """The weight of target tokens in a cross-entropy, with or without label smoothing.

    The derivative of c * cross-entropy with respect to a logit is c * (p - y), where p is the
    softmax and y the target distribution. y is the same for all classes other than the target, so
    for these classes the derivative is a linear function of p with slope c. This does not depend
    on the code that computes the loss.

    Parameters
    ----------
    logits : Tensor
        (..., classes), as the model returned them, before the backward pass.
    """

    def __init__(self, logits: Tensor):
        rows = logits.detach().reshape(-1, logits.shape[-1])
        steps = min(LOOKED_AT, len(rows))
        places = torch.linspace(0, len(rows) - 1, steps, dtype=torch.float64).round().long()
        self._places = places.to(rows.device)
        self._logits = rows[self._places].clone()
        self._found: tuple[Tensor, Tensor, Tensor] | None = None
        logits.register_hook(self._arrived)  # type: ignore[no-untyped-call]

    def result(self) -> tuple[Tensor, Tensor]:
        """(sum of the weights of all target tokens, their number); both 0 without any.

        Raises
        ------
        RecordingError
            If the logits got no gradient, or it is not that of a cross-entropy.
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
        # The target is the class with the smallest derivative or, if it is almost certain, the
        # most probable class. All derivatives of a row without a target are 0.
        others = torch.ones_like(slopes)
        others.scatter_(1, slopes.argmin(dim=1, keepdim=True), 0.0)
        others.scatter_(1, probabilities.argmax(dim=1, keepdim=True), 0.0)
        others *= slopes.ne(0).any(dim=1, keepdim=True)
        number = others.sum(dim=1, keepdim=True).clamp(min=1)
        p = (probabilities - (probabilities * others).sum(1, keepdim=True) / number) * others
        g = (slopes - (slopes * others).sum(1, keepdim=True) / number) * others
        squares = p.square().sum()
        weight = (p * g).sum() / squares.clamp(min=torch.finfo(torch.float64).tiny)
        # Deviations from the linear function, and sums over all classes, which are 0 for p - y.
        rounding = (2 * torch.finfo(gradient.dtype).eps) ** 2
        off = (g - weight * p).square().sum()
        straight = off <= UNEXPLAINED * g.square().sum() + rounding * slopes.square().sum()
        size = slopes.abs().sum(dim=1).square().sum()
        balanced = slopes.sum(dim=1).square().sum() <= (UNEXPLAINED + rounding) * size
        self._found = weight * targets, targets, straight & balanced
        del self._logits
