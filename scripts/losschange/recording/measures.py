"""Gradients of batches other than the training's own, measured without changing a bit of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from losschange.errors import RecordingError

from .probe_integrator import Gradients
from .shards import Shards, local_tensor
from .side_effects import with_parameters, without_side_effects

# Mean loss in nats per target token of a model on a batch that never changes.
Loss = Callable[[torch.nn.Module], Tensor]
# The same of the batch newly drawn for an update.
FreshLoss = Callable[[torch.nn.Module, int], Tensor]


class ProbeLoss:
    """Loss and gradient of a fixed batch at any point, without side effects on the training."""

    def __init__(
        self,
        model: torch.nn.Module,
        parameters: Sequence[Tensor],
        loss: Loss,
        shards: Shards | None = None,
    ):
        self._model, self._parameters, self._loss = model, list(parameters), loss
        self._shards = shards
        self._unused: set[int] = set()

    def __call__(self, at: Sequence[Tensor] | None = None) -> tuple[Tensor, Gradients]:
        """Loss (nats per target token) and gradients, without dropout.

        With divided parameters: the mean of the losses of all processes, and this process's rows
        of its gradient.

        Raises
        ------
        RecordingError
            If it is not one number that depends on the model's trained parameters, or measuring it
            changed one of them.
        """
        held = [local_tensor(parameter) for parameter in self._parameters]
        with with_parameters(held, at), without_side_effects(self._model):
            versions = [parameter._version for parameter in held]
            loss = self._loss(self._model)
            what = "a probe's loss"
            gradients = _gradients(what, loss, self._parameters, self._unused, self._shards)
            _refuse_moved(held, versions)
        # A copy: the loss may be a tensor that its function writes to again.
        loss = loss.detach().reshape(()).clone()
        return (loss if self._shards is None else self._shards.mean(loss)), gradients


class FreshGradient:
    """Gradient of a newly drawn batch with dropout, without side effects on the training."""

    def __init__(
        self,
        model: torch.nn.Module,
        parameters: Sequence[Tensor],
        loss: FreshLoss,
        shards: Shards | None = None,
    ):
        self._model, self._parameters, self._loss = model, list(parameters), loss
        self._shards = shards
        self._unused: set[int] = set()

    def __call__(self, update: int) -> Gradients:
        """Gradients at the model's present parameters; the update's number seeds the dropout.

        Raises
        ------
        RecordingError
            As `ProbeLoss` does.
        """
        held = [local_tensor(parameter) for parameter in self._parameters]
        with without_side_effects(self._model, training=True, seed=update):
            versions = [parameter._version for parameter in held]
            loss = self._loss(self._model, update)
            what = "the loss of a fresh batch"
            gradients = _gradients(what, loss, self._parameters, self._unused, self._shards)
            _refuse_moved(held, versions)
        return gradients


def _gradients(
    what: str,
    loss: Tensor,
    parameters: Sequence[Tensor],
    unused: set[int],
    shards: Shards | None,
) -> Gradients:
    """Gradients of a loss; numbers of parameters without one are added to `unused`."""
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        found = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else repr(loss)
        raise RecordingError(
            f"{what} is {found}; it must be one number, the mean over all target tokens in nats"
        )
    gradients: Gradients = [None]
    if loss.requires_grad:
        if shards is not None:
            gradients = shards.gradients(loss.reshape(()), parameters)
        else:
            with _without_hooks(parameters):
                gradients = torch.autograd.grad(loss.reshape(()), parameters, allow_unused=True)
    without = {number for number, gradient in enumerate(gradients) if gradient is None}
    if not without <= unused and _is_recomputed(loss):
        raise RecordingError(
            f"{what} passes through torch.utils.checkpoint with use_reentrant=True, which hides "
            "the gradients of the parameters inside; use it with use_reentrant=False"
        )
    unused |= without
    if all(gradient is None for gradient in gradients):
        raise RecordingError(
            f"{what} does not depend on any trained parameter of the model; compute it with the "
            "model that the function is given, and without torch.no_grad()"
        )
    return [g.to_dense() if g is not None and g.is_sparse else g for g in gradients]


def _is_recomputed(loss: Tensor) -> bool:
    """Whether a part of a loss is recomputed by a function whose parameters autograd cannot see."""
    todo, seen = [loss.grad_fn], set[object]()
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        if "CheckpointFunction" in node.name():
            return True
        seen.add(node)
        todo += [following for following, _ in node.next_functions]
    return False


@contextmanager
def _without_hooks(parameters: Sequence[Tensor]) -> Iterator[None]:
    """Take off the hooks of parameters, which the training may have to scale its gradients."""
    kept = [(parameter, parameter._backward_hooks) for parameter in parameters]
    kept = [(parameter, hooks) for parameter, hooks in kept if hooks]
    for parameter, _ in kept:
        parameter._backward_hooks = None
    try:
        yield
    finally:
        for parameter, hooks in kept:
            parameter._backward_hooks = hooks


def _refuse_moved(parameters: Sequence[Tensor], versions: Sequence[int]) -> None:
    for parameter, version in zip(parameters, versions, strict=True):
        if parameter._version != version:
            raise RecordingError(
                f"measuring a probe changed a parameter of shape {tuple(parameter.shape)}; a "
                "function that measures a loss must leave the model as it is"
            )
