"""Relevance of a head: how much of a prediction passes through it.

The layer-wise relevance propagation of Voita et al. 2019, section 3, in the form gradient x
activation with attention weights and the deviations of layer norms held constant (Ali et al.
2022; Achtibat et al. 2024). In such a model the relevance of a head, summed over its neurons and
positions, equals the derivative of the prediction with respect to the head's gate at 1. So one
backward pass gives the relevance of every head for one prediction of every sentence of a batch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .errors import HeadsError
from .handle import ModelHandle, Output
from .passes import evaluating, open_gates, resume, sentences_of, states_of
from .ratios import ratio


@dataclass(frozen=True)
class Relevance:
    """Relevance of every head of one attention type.

    Parameters
    ----------
    by_sentence : array (sentences, layers, heads)
        In units of the logit, signed.
    """

    by_sentence: np.ndarray

    @property
    def shares_by_sentence(self) -> np.ndarray:
        """Absolute relevance as a share of its layer's (sentences, layers, heads).

        NaN in layers through which nothing passes.
        """
        return shares(self.by_sentence)

    @property
    def share(self) -> np.ndarray:
        """Mean share over the sentences (layers, heads); NaN where no sentence has one."""
        values = self.shares_by_sentence
        known = ~np.isnan(values)
        total = np.where(known, values, 0).sum(0)
        return ratio(total, known.sum(0))


@dataclass(frozen=True)
class Conservation:
    """How much of the predictions arrives at the input of each stage.

    Parameters
    ----------
    logits : array (sentences,)
    arrived : array (stages + 1, sentences)
        Sum of input x gradient in front of each stage, and behind the last.
    """

    logits: np.ndarray
    arrived: np.ndarray

    @property
    def bias_share(self) -> np.ndarray:
        """Mean |logit - arrived| over the mean |logit|, for each stage.

        What is missing stays in the biases of the stages above.
        """
        missing = np.abs(self.logits - self.arrived).mean(1)
        result: np.ndarray = missing / np.abs(self.logits).mean()
        return result


def relevance(handle: ModelHandle, batches: Iterable[Any], seed: int) -> dict[str, Relevance]:
    """Relevance of every head for the model's first choice at one position of every sentence.

    Sentences without a target are left out.

    Parameters
    ----------
    handle : ModelHandle
    batches : iterable
        As the handle takes them; predictions are conditioned on the given targets.
    seed : int
        Draws the positions.

    Returns
    -------
    dict of attention name to Relevance

    Raises
    ------
    HeadsError
        If no sentence has a target.
    """
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, list[Tensor]] = {name: [] for name in handle.attentions}
    with torch.enable_grad(), evaluating(handle.module):
        for batch in batches:
            state = handle.start(batch)
            gates = open_gates(handle, sentences_of(state))
            for gate in gates.values():
                gate.requires_grad_()
            output = resume(handle, state, gates=gates, frozen=True)
            rows, positions = draw_positions(output.predicted, generator)
            logits = top_logits(output, rows, positions)
            if not len(rows):
                continue
            parts = torch.autograd.grad(logits.sum(), list(gates.values()))
            for name, part in zip(gates, parts):
                found[name].append(part[rows])
    if not any(found.values()):
        raise HeadsError("no sentence has a target token: no prediction can be explained")
    return {
        name: Relevance(torch.cat(parts).double().cpu().numpy()) for name, parts in found.items()
    }


def conservation(handle: ModelHandle, batch: Any, seed: int) -> Conservation:
    """Whether the relevance of whole layers adds up to the predictions.

    It does at every stage in a model without biases; otherwise the rest is the biases' part.

    Parameters
    ----------
    handle : ModelHandle
    batch
        As the handle takes it.
    seed : int
        Draws the positions.
    """
    with evaluating(handle.module):
        with torch.no_grad():
            states = states_of(handle, batch)
            output = handle.finish(states[-1])
            generator = torch.Generator().manual_seed(seed)
            rows, positions = draw_positions(output.predicted, generator)
        if not len(rows):
            raise HeadsError("no sentence has a target token: no prediction can be explained")
        arrived = []
        for number, state in enumerate(states):
            inputs = {
                name: each.detach().requires_grad_(each.is_floating_point())
                for name, each in state.items()
            }
            leaves = [each for each in inputs.values() if each.requires_grad]
            with torch.enable_grad():
                logits = top_logits(resume(handle, inputs, number, frozen=True), rows, positions)
                parts = torch.autograd.grad(logits.sum(), leaves, allow_unused=True)
            total = sum(
                (leaf * part).flatten(1).sum(1)
                for leaf, part in zip(leaves, parts)
                if part is not None
            )
            assert isinstance(total, Tensor)
            arrived.append(total.detach()[rows].double().cpu().numpy())
    return Conservation(logits.detach().double().cpu().numpy(), np.stack(arrived))


def draw_positions(predicted: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """One position with a target from every sentence that has one.

    Returns
    -------
    sentences, positions : int Tensor (n,)
    """
    chances = torch.rand(predicted.shape, generator=generator).to(predicted.device)
    positions = chances.masked_fill(~predicted, -1.0).argmax(-1)
    rows = predicted.any(-1).nonzero().squeeze(-1)
    return rows, positions[rows]


def top_logits(output: Output, rows: Tensor, positions: Tensor) -> Tensor:
    """The largest logit at one position of each of some sentences: Tensor (n,)."""
    return output.logits[rows, positions].amax(-1)


def shares(values: np.ndarray) -> np.ndarray:
    """Absolute values over their sum along the last axis; NaN where the sum is zero."""
    size = np.abs(values)
    total = size.sum(-1, keepdims=True)
    return ratio(size, total)
