"""Gradients of batches other than the training's own, measured without changing a bit of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .probe_integrator import Gradients
from .side_effects import with_parameters, without_side_effects

# Mean loss in nats per target token of a model on a batch that never changes.
Loss = Callable[[torch.nn.Module], Tensor]
# The same of the batch newly drawn for an update.
FreshLoss = Callable[[torch.nn.Module, int], Tensor]


class ProbeLoss:
    """Loss and gradient of a fixed batch at any point, without side effects on the training."""

    def __init__(self, model: torch.nn.Module, parameters: Sequence[Tensor], loss: Loss):
        self._model, self._parameters, self._loss = model, list(parameters), loss

    def __call__(self, at: Sequence[Tensor] | None = None) -> tuple[Tensor, Gradients]:
        """Loss (nats per target token) and gradients, without dropout."""
        with with_parameters(self._parameters, at), without_side_effects(self._model):
            loss = self._loss(self._model)
            gradients = torch.autograd.grad(loss, self._parameters, allow_unused=True)
        return loss.detach(), gradients


class FreshGradient:
    """Gradient of a newly drawn batch with dropout, without side effects on the training."""

    def __init__(self, model: torch.nn.Module, parameters: Sequence[Tensor], loss: FreshLoss):
        self._model, self._parameters, self._loss = model, list(parameters), loss

    def __call__(self, update: int) -> Gradients:
        """Gradients at the model's present parameters; the update's number seeds the dropout."""
        with without_side_effects(self._model, training=True, seed=update):
            loss = self._loss(self._model, update)
            return torch.autograd.grad(loss, self._parameters, allow_unused=True)
