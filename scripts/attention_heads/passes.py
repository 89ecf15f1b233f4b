"""Running a model handle: whole passes, resumed passes, mean losses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .errors import HeadsError, HiddenHeadsError
from .handle import Gates, ModelHandle, Output, State, layer_gates

Weights = dict[str, list[Tensor]]


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Switch dropout and the gradients of weights off, and afterwards back to what they were.

    Without the gradients of weights a backward pass keeps less of the forward pass.
    """
    modes = [(each, each.training) for each in module.modules()]
    learning = [each for each in module.parameters() if each.requires_grad]
    module.eval()
    try:
        for weight in learning:
            weight.requires_grad_(False)
        yield
    finally:
        for each, mode in modes:
            each.training = mode
        for weight in learning:
            weight.requires_grad_()


def open_gates(handle: ModelHandle, sentences: int | None = None) -> dict[str, Tensor]:
    """Gates that leave every head as it is.

    Parameters
    ----------
    handle : ModelHandle
    sentences : int, optional
        With it, every sentence has gates of its own.

    Returns
    -------
    dict of attention name to Tensor of ones, (layers, heads) or (sentences, layers, heads)
    """
    device = next(handle.module.parameters()).device
    rows = () if sentences is None else (sentences,)
    return {
        name: torch.ones(*rows, each.layers, each.heads, device=device)
        for name, each in handle.attentions.items()
    }


def resume(
    handle: ModelHandle,
    state: State,
    first: int = 0,
    gates: Gates | None = None,
    frozen: bool = False,
    weights: Weights | None = None,
) -> Output:
    """Run the stages from one of them to the end.

    Parameters
    ----------
    handle : ModelHandle
    state : State
        In front of stage `first`.
    first : int
    gates : Gates, optional
    frozen : bool
        See ModelHandle.step.
    weights : dict, optional
        Receives for every attention a list of (sentences, heads, queries, keys), layer by layer.

    Raises
    ------
    HiddenHeadsError
        If weights are wanted and the model gives none.
    """
    for number in range(first, len(handle.stages)):
        stage = handle.stages[number]
        seen: dict[str, Tensor] | None = None if weights is None else {}
        state = handle.step(number, state, layer_gates(gates, stage), frozen, seen)
        if weights is None or seen is None:
            continue
        for name, layer in stage.items():
            if seen.get(name) is None:
                raise HiddenHeadsError(
                    f"layer {layer} of the {name} attention gives no attention weights: use an "
                    "implementation that computes them (not a fused kernel)"
                )
            weights.setdefault(name, []).append(seen[name])
    return handle.finish(state, frozen)


def losses_after(
    handle: ModelHandle, state: State, first: int, gates: Gates | None, predicted: Tensor
) -> Tensor:
    """Losses of a pass from one of the stages to the end: Tensor (sentences, length), in nats.

    Logits are computed only at positions with a target. In a batch of sentences of different
    lengths, or of a masked language model, this saves most of the output projection.

    Parameters
    ----------
    handle : ModelHandle
    state : State
        In front of stage `first`; behind the last where `first` is the number of stages.
    first : int
    gates : Gates or None
    predicted : bool Tensor (sentences, length)
        Positions with a target.
    """
    for number in range(first, len(handle.stages)):
        state = handle.step(number, state, layer_gates(gates, handle.stages[number]))
    # Every such position becomes a sentence of one token. States of another length belong to the
    # other side, which the logits do not depend on.
    alone = {
        name: each[predicted].unsqueeze(1)
        for name, each in state.items()
        if each.shape[:2] == predicted.shape
    }
    found = handle.finish_losses(alone).squeeze(1)
    return torch.zeros(predicted.shape, device=found.device).masked_scatter(predicted, found)


def attention_weights(handle: ModelHandle, batch: Any) -> Weights:
    """Attention weights of a batch, without dropout.

    Returns
    -------
    dict of attention name to list (layers) of Tensor (sentences, heads, queries, keys)
    """
    weights: Weights = {}
    with torch.no_grad(), evaluating(handle.module):
        resume(handle, handle.start(batch), weights=weights)
    return weights


def states_of(handle: ModelHandle, batch: Any) -> list[State]:
    """The states in front of every stage, and the one behind the last."""
    states = [handle.start(batch)]
    for number in range(len(handle.stages)):
        states.append(handle.step(number, states[-1]))
    return states


def sentences_of(state: State) -> int:
    """Number of sentences in a state."""
    return next(iter(state.values())).shape[0]


def repeated(state: State, copies: int) -> State:
    """A state of `copies` times as many sentences: all of them once, then all again."""
    return {name: each.repeat(copies, *[1] * (each.dim() - 1)) for name, each in state.items()}


def mean_loss(handle: ModelHandle, batches: Iterable[Any], gates: Gates | None = None) -> float:
    """Mean loss in nats per target token, without dropout.

    Parameters
    ----------
    handle : ModelHandle
    batches : iterable
        As the handle takes them.
    gates : Gates, optional

    Raises
    ------
    HeadsError
        If the batches hold no target.
    """
    loss, targets = 0.0, 0
    with torch.no_grad(), evaluating(handle.module):
        for batch in batches:
            output = resume(handle, handle.start(batch), gates=gates)
            loss += output.losses.double().sum().item()
            targets += int(output.predicted.sum())
    if not targets:
        raise HeadsError("the batches hold no target tokens: there is no loss to measure")
    return loss / targets


def weight_norms(handle: ModelHandle) -> dict[str, np.ndarray]:
    """Euclidean norm of the query, key, value and out weights of every head.

    Returns
    -------
    dict of attention name to array (layers, heads)
    """
    return {
        name: np.stack(
            [
                torch.stack([x.double().square().sum((1, 2)) for x in matrices.values()])
                .sum(0)
                .sqrt()
                .cpu()
                .numpy()
                for layer in range(about.layers)
                for matrices in [handle.head_weights(name, layer)]
            ]
        )
        for name, about in handle.attentions.items()
    }
