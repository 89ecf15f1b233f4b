"""Importance of a head: the derivative of the loss with respect to its gate.

Absolute importance is that of Michel et al. 2019, equation 3, normalised within layers. The signed
one keeps the derivative's sign. It can be had from the gradient of the out projection alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .errors import HeadsError
from .handle import ModelHandle, OutProjection
from .passes import evaluating, open_gates, resume, sentences_of
from .ratios import ratio


@dataclass(frozen=True)
class Importance:
    """Derivatives of the loss with respect to the gates of one attention type.

    Parameters
    ----------
    by_sentence : array (sentences, layers, heads)
        Derivative of the sentence's mean loss, nats per target token; negative if opening the
        head further lowers the loss. NaN without targets.
    targets : array (sentences,)
        Number of target tokens.
    """

    by_sentence: np.ndarray
    targets: np.ndarray

    @property
    def signed(self) -> np.ndarray:
        """Derivative of the mean loss of the text (layers, heads)."""
        known = self.targets > 0
        return np.average(self.by_sentence[known], axis=0, weights=self.targets[known])

    @property
    def absolute(self) -> np.ndarray:
        """Mean over sentences of the absolute derivative (layers, heads), of norm 1 in a layer.

        Zero in layers whose heads change nothing.
        """
        size = np.abs(self.by_sentence[self.targets > 0]).mean(0)
        norm = np.linalg.norm(size, axis=-1, keepdims=True)
        return ratio(size, norm, otherwise=0.0)


def importance(handle: ModelHandle, batches: Iterable[Any]) -> dict[str, Importance]:
    """Derivatives of every sentence's loss, from one forward and backward pass of each batch.

    Parameters
    ----------
    handle : ModelHandle
    batches : iterable
        As the handle takes them.

    Returns
    -------
    dict of attention name to Importance

    Raises
    ------
    HeadsError
        If no batch holds a target token.
    """
    found: dict[str, list[Tensor]] = {name: [] for name in handle.attentions}
    targets: list[Tensor] = []
    with torch.enable_grad(), evaluating(handle.module):
        for batch in batches:
            state = handle.start(batch)
            gates = open_gates(handle, sentences_of(state))
            for gate in gates.values():
                gate.requires_grad_()
            output = resume(handle, state, gates=gates)
            number = output.predicted.sum(-1)
            # Sentences do not see each other, so the sum's gradient holds each one's own.
            parts = torch.autograd.grad(output.losses.sum(), list(gates.values()))
            targets.append(number.cpu())
            for name, part in zip(gates, parts):
                found[name].append((part / number[:, None, None]).double().cpu())
    numbers = torch.cat(targets).numpy() if targets else np.zeros(0)
    if not numbers.any():
        raise HeadsError("the batches hold no target tokens: there is no loss to measure")
    return {name: Importance(torch.cat(each).numpy(), numbers) for name, each in found.items()}


def importance_from_gradient(projection: OutProjection, gradient: Tensor, heads: int) -> Tensor:
    """Signed importance of a layer's heads from the gradient of its out projection.

    A gate multiplies the same numbers as the rows of the matrix do, so the derivative with respect
    to the gate is the inner product of the head's part of the matrix and of its gradient.

    Parameters
    ----------
    projection : OutProjection
    gradient : Tensor
        Of the loss with respect to the matrix, of its shape.
    heads : int

    Returns
    -------
    Tensor (heads,)
    """
    weight = projection.by_head(projection.parameter.detach(), heads)
    return (weight * projection.by_head(gradient, heads)).sum((1, 2))
