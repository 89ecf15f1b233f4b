"""Hooks that show, close and freeze the heads of a model made of PyTorch modules.

For handles of models whose attention modules return their weights and call their out projection
as a module.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from .handle import gate_heads


@dataclass(frozen=True)
class AttentionModules:
    """The modules of one attention.

    Parameters
    ----------
    attention : nn.Module
        Its output is a tuple whose second entry holds the weights
        (sentences, heads, queries, keys).
    out : nn.Module
        The out projection; its input holds the outputs of all heads (sentences, length, width).
    queries_and_keys : sequence of (nn.Module, int)
        Projections, and how many of their last output columns are not queries or keys: 0 for
        separate projections, the width for one that ends in the values.
    """

    attention: nn.Module
    out: nn.Module
    queries_and_keys: Sequence[tuple[nn.Module, int]]


@contextmanager
def tapped(
    layer: nn.Module,
    attentions: Mapping[str, AttentionModules],
    gates: Mapping[str, Tensor] | None,
    frozen: bool,
    weights: dict[str, Tensor] | None,
) -> Iterator[None]:
    """While the context lasts, a layer's pass is gated, frozen and watched.

    Parameters
    ----------
    layer : nn.Module
    attentions : mapping of attention name to AttentionModules
    gates, frozen, weights
        See ModelHandle.step.
    """
    with ExitStack() as stack:
        for name, modules in attentions.items():
            if gates is not None and name in gates:
                _until_end(stack, modules.out.register_forward_pre_hook(_closing(gates[name])))
            if weights is not None:
                hook = _watching(name, weights)
                _until_end(stack, modules.attention.register_forward_hook(hook))
            for projection, rest in modules.queries_and_keys if frozen else ():
                _until_end(stack, projection.register_forward_hook(_detaching(rest)))
        if frozen:
            stack.enter_context(frozen_modules(layer))
        yield


@contextmanager
def frozen_modules(part: nn.Module) -> Iterator[None]:
    """While the context lasts, layer norms and activation functions differentiate as linear maps.

    A layer norm keeps its deviation, an activation function the ratio of output and input.
    """
    with ExitStack() as stack:
        for module in part.modules():
            if isinstance(module, nn.LayerNorm):
                _until_end(stack, module.register_forward_hook(_frozen_norm))
            elif _is_activation(module):
                _until_end(stack, module.register_forward_hook(_frozen_activation))
        yield


def _until_end(stack: ExitStack, handle: RemovableHandle) -> None:
    stack.callback(handle.remove)


def _closing(gates: Tensor) -> Any:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (gate_heads(inputs[0], gates), *inputs[1:])

    return hook


def _watching(name: str, weights: dict[str, Tensor]) -> Any:
    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, tuple) and len(output) > 1 and output[1] is not None:
            weights[name] = output[1]

    return hook


def _detaching(rest: int) -> Any:
    """Attention weights are constants if queries and keys are."""

    def hook(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        if not rest:
            return output.detach()
        return torch.cat([output[..., :-rest].detach(), output[..., -rest:]], -1)

    return hook


def _frozen_norm(module: nn.LayerNorm, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    x = inputs[0]
    deviation = (x.detach().var(-1, unbiased=False, keepdim=True) + module.eps).sqrt()
    result = (x - x.mean(-1, keepdim=True)) / deviation
    if module.weight is not None:
        result = result * module.weight
    return result if module.bias is None else result + module.bias


def _frozen_activation(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    x, y = inputs[0], output.detach()
    safe = x.detach().abs() > 1e-9
    ratio = torch.where(safe, y / torch.where(safe, x.detach(), 1.0), 0.0)
    return x * ratio


def _is_activation(module: nn.Module) -> bool:
    """Modules without parameters and children that are not dropout, an identity or a container."""
    plain = not any(True for _ in module.children()) and not any(True for _ in module.parameters())
    return plain and not isinstance(module, nn.Dropout | nn.Identity | nn.ModuleList)
