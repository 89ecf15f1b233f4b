"""Relevance by the alpha-beta rule, as a check on gradient x activation.

The rule of the public code of Voita et al. 2019: every output v hands its relevance R_v back to
its inputs u by R_u = sum_v R_v (z+_uv / sum z+ + z-_uv / sum z-) / 2, where z_uv is what u
contributes to v, and z+ and z- are its positive and its negative part. Negative contributions get
relevance of R_v's own sign, too. After each step the sum of |R| of a sentence is brought back to
what it was. Biases count as inputs whose relevance ends there; attention weights and the
deviations of layer norms are constants; activation functions pass everything on.

The numbers are not comparable with those of gradient x activation, the ranks are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from .errors import HeadsError
from .handle import Attention, ModelHandle, State, split_heads
from .passes import evaluating
from .relevance import Relevance, draw_positions

EPSILON = 1e-5
LinearMap = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class AttentionBlock:
    """The parts of an attention whose weights are known.

    Parameters
    ----------
    name : str
        Attention type.
    value, out : nn.Linear
    norm : nn.LayerNorm or None
    memory : str or None
        Name in the state of what the keys stand for, None for the queries' own states.
    """

    name: str
    value: nn.Linear
    out: nn.Linear
    norm: nn.LayerNorm | None
    memory: str | None = None


@dataclass(frozen=True)
class LayerParts:
    """A layer as a sequence of modules, each block added to the residual stream.

    Parameters
    ----------
    stream : str
        Name of the residual stream in the state.
    attentions : sequence of AttentionBlock
        In the order in which they run.
    first, second : nn.Linear
        The feed-forward network's.
    activation : callable
    norm : nn.LayerNorm or None
        The feed-forward network's.
    norm_first : bool
        Whether norms stand before their blocks (pre-norm) or after the sum (post-norm).
    last_norm : nn.LayerNorm or None
        The one behind the last layer of a pre-norm encoder.
    """

    stream: str
    attentions: Sequence[AttentionBlock]
    first: nn.Linear
    second: nn.Linear
    activation: LinearMap
    norm: nn.LayerNorm | None
    norm_first: bool
    last_norm: nn.LayerNorm | None = None


class DecomposedHandle(ModelHandle, Protocol):
    """A model handle that also names the parts of its layers."""

    def parts(self, stage: int) -> LayerParts:
        """The parts of a stage's layer."""
        ...

    def finish_parts(self) -> tuple[str, nn.LayerNorm | None, nn.Linear]:
        """The stream that the logits come from, the last norm and the output projection."""
        ...


class _Rule(torch.autograd.Function):
    """A linear map whose backward pass hands on relevance in place of gradients."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, value: Tensor, plus: LinearMap, minus: LinearMap | None, bias: Any
    ) -> Tensor:
        ctx.save_for_backward(x)
        ctx.maps = plus, minus, bias
        return value.clone()

    @staticmethod
    def backward(ctx: Any, relevance: Tensor) -> tuple[Tensor, None, None, None, None]:
        return hand_back(ctx.saved_tensors[0], relevance, *ctx.maps), None, None, None, None


def hand_back(
    x: Tensor, relevance: Tensor, plus: LinearMap, minus: LinearMap | None, bias: Tensor | None
) -> Tensor:
    """Relevance of the inputs of a linear map.

    Parameters
    ----------
    x : Tensor (sentences, ...)
    relevance : Tensor (sentences, ...)
        Of the outputs.
    plus, minus : callable
        The map with its positive and with its negative coefficients only; None for none.
    bias : Tensor or None

    Returns
    -------
    Tensor of x's shape
        In every sentence the sum of absolute values is that of `relevance`.
    """
    with torch.enable_grad():
        up = x.detach().clamp(min=0).requires_grad_()
        down = x.detach().clamp(max=0).requires_grad_()
        positive, negative = plus(up), plus(down)
        if minus is not None:
            positive, negative = positive + minus(down), negative + minus(up)
        if bias is not None:
            positive, negative = positive + bias.clamp(min=0), negative + bias.clamp(max=0)
        ratios = [relevance / 2 / (positive + EPSILON), relevance / 2 / (negative - EPSILON)]
        toward_up, toward_down = torch.autograd.grad(
            [positive, negative], [up, down], [ratio.detach() for ratio in ratios]
        )
    found = (up * toward_up + down * toward_down).detach()
    before, after = relevance.abs().flatten(1).sum(1), found.abs().flatten(1).sum(1)
    factor = torch.where(after > 0, before / after, 0.0)
    return found * factor.view(-1, *[1] * (found.dim() - 1))


class _Pass(torch.autograd.Function):
    """An activation function that hands relevance on unchanged."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, activation: LinearMap) -> Tensor:
        return activation(x)

    @staticmethod
    def backward(ctx: Any, relevance: Tensor) -> tuple[Tensor, None]:
        return relevance, None


_apply_rule: Callable[..., Tensor] = _Rule.apply
_pass_on: Callable[..., Tensor] = _Pass.apply


def _linear(module: nn.Linear, x: Tensor) -> Tensor:
    return _affine(x, module(x).detach(), module.weight, module.bias)


def _affine(x: Tensor, value: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Weights are (outputs, inputs), or (sentences, outputs, inputs)."""
    # The parts are taken when they are needed: kept from the forward pass to the backward pass,
    # those of all layers would be two more models in memory.
    plus, minus = (lambda y: y @ weight.clamp(min=0).mT), (lambda y: y @ weight.clamp(max=0).mT)
    return _apply_rule(x, value, plus, minus, bias)


def _norm(module: nn.LayerNorm | None, x: Tensor) -> Tensor:
    """Output v of a layer norm is c_v (x_v - mean of x), with c_v = weight_v / deviation."""
    if module is None:
        return x
    deviation = (x.detach().var(-1, unbiased=False, keepdim=True) + module.eps).sqrt()
    scale = (torch.ones_like(x) if module.weight is None else module.weight.detach()) / deviation
    own, others = scale * (1 - 1 / x.shape[-1]), -scale / x.shape[-1]

    def part(low: float | None, high: float | None) -> LinearMap:
        mine, theirs = own.clamp(low, high), others.clamp(low, high)
        return lambda y: mine * y + theirs * (y.sum(-1, keepdim=True) - y)

    bias = None if module.bias is None else module.bias.detach()
    return _apply_rule(x, module(x).detach(), part(0.0, None), part(None, 0.0), bias)


def _add(x: Tensor, y: Tensor) -> Tensor:
    return _apply_rule(torch.stack([x, y], 1), (x + y).detach(), lambda z: z.sum(1), None, None)


def _mix(values: Tensor, weights: Tensor) -> Tensor:
    """Mix the values (sentences, keys, width) with weights (sentences, heads, queries, keys)."""

    def mixed(y: Tensor) -> Tensor:
        by_head = split_heads(y, weights.shape[1]).transpose(1, 2)
        return (weights @ by_head).transpose(1, 2).flatten(2)

    return _apply_rule(values, mixed(values).detach(), mixed, None, None)


def _layer(
    parts: LayerParts, state: State, weights: Mapping[str, Tensor]
) -> tuple[State, dict[str, Tensor]]:
    """A layer in rules: the state behind it, and the outputs of the heads by attention."""
    x = state[parts.stream]
    outputs: dict[str, Tensor] = {}
    for block in parts.attentions:
        own = _norm(block.norm, x) if parts.norm_first else x
        keys = own if block.memory is None else state[block.memory]
        heads = _mix(_linear(block.value, keys), weights[block.name])
        outputs[block.name] = heads
        x = _add(x, _linear(block.out, heads))
        x = x if parts.norm_first else _norm(block.norm, x)
    inner = _norm(parts.norm, x) if parts.norm_first else x
    inner = _pass_on(_linear(parts.first, inner), parts.activation)
    x = _add(x, _linear(parts.second, inner))
    x = x if parts.norm_first else _norm(parts.norm, x)
    return {**state, parts.stream: _norm(parts.last_norm, x)}, outputs


def alpha_beta_relevance(
    handle: DecomposedHandle, batches: Iterable[Any], seed: int
) -> dict[str, Relevance]:
    """Relevance of every head by the alpha-beta rule; see attention_heads.relevance.relevance.

    Raises
    ------
    HeadsError
        If no sentence has a target, or the parts do not compute what the model does.
    """
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, list[np.ndarray]] = {name: [] for name in handle.attentions}
    with torch.enable_grad(), evaluating(handle.module):
        for batch in batches:
            plain: State = {name: each.detach() for name, each in handle.start(batch).items()}
            state: State = {
                name: each.clone().requires_grad_(each.is_floating_point())
                for name, each in plain.items()
            }
            outputs: list[tuple[str, Tensor]] = []
            for stage in range(len(handle.stages)):
                weights: dict[str, Tensor] = {}
                with torch.no_grad():
                    plain = handle.step(stage, plain, weights=weights)
                state, heads = _layer(handle.parts(stage), state, weights)
                outputs += heads.items()
            rows, relevances = _hand_down(handle, state, plain, outputs, generator)
            _collect(handle.attentions, outputs, rows, relevances, found)
    if not any(found.values()):
        raise HeadsError("no sentence has a target token: no prediction can be explained")
    return {name: Relevance(np.concatenate(parts)) for name, parts in found.items()}


def _hand_down(
    handle: DecomposedHandle,
    state: State,
    plain: State,
    outputs: Sequence[tuple[str, Tensor]],
    generator: torch.Generator,
) -> tuple[Tensor, Sequence[Tensor]]:
    """Sentences with a target, and the relevance of every head output."""
    stream, norm, projection = handle.finish_parts()
    with torch.no_grad():
        output = handle.finish(plain)
        rows, positions = draw_positions(output.predicted, generator)
        logits, top = output.logits[rows, positions].max(-1, keepdim=True)
    explained = _norm(norm, state[stream])[rows, positions][:, None]
    # Only these logits have relevance: the weights of all other words are left out.
    weight = projection.weight[top]
    bias = None if projection.bias is None else projection.bias[top][..., None]
    value = explained.detach() @ weight.mT
    found = _affine(explained, value if bias is None else value + bias, weight, bias)
    if not torch.allclose(found, logits[..., None], rtol=1e-3, atol=1e-3):
        raise HeadsError("the parts of the layers do not compute what the model does")
    return rows, torch.autograd.grad(found, [each for _, each in outputs], logits[..., None])


def _collect(
    attentions: Mapping[str, Attention],
    outputs: Sequence[tuple[str, Tensor]],
    rows: Tensor,
    relevances: Sequence[Tensor],
    found: dict[str, list[np.ndarray]],
) -> None:
    """Sum relevance over the neurons of a head and over positions."""
    if not len(rows):
        return
    layers: dict[str, list[Tensor]] = {name: [] for name in attentions}
    for (name, _), each in zip(outputs, relevances):
        by_head = split_heads(each, attentions[name].heads).sum((1, 3))
        layers[name].append(by_head[rows])
    for name, parts in layers.items():
        found[name].append(torch.stack(parts, 1).double().cpu().numpy())
