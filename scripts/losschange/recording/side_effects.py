"""Contexts in which a model can be evaluated in mid-training without side effects.

Recording must not change a bit of the training, so these contexts restore random states, modes,
buffers, parameters, and what modules keep in attributes (counters, hidden states, lists) at their
end.
"""

from __future__ import annotations

import copy
import random
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.nn.utils import parametrize

Kind = TypeVar("Kind")

BACKWARD_HOOKS = ("_backward_hooks", "_backward_pre_hooks")
CONTAINERS = (dict, OrderedDict, defaultdict, list, set, deque)
# Attributes that every module has, but for the buffers, which forward() may replace.
OF_MODULES = vars(torch.nn.Module()).keys() - {"_buffers"}


@contextmanager
def without_side_effects(
    model: torch.nn.Module, training: bool = False, seed: int = 0
) -> Iterator[None]:
    """Run a model beside its training.

    Parameters
    ----------
    model : torch.nn.Module
    training : bool
        Whether dropout is on. A model that is training then keeps the modes of all its modules.
    seed : int
        Of the random numbers drawn inside (dropout masks).
    """
    modules = list(model.modules())
    attributes = [(module, dict(vars(module))) for module in modules]
    containers = [(one, copy.copy(one)) for one in _containers(modules)]
    tensors = [(one, one._version, one.clone()) for one in _tensors(modules, containers)]
    generators = [(one, one.get_state()) for one in _of_kind(modules, torch.Generator)]
    numpy_state, python_state = np.random.get_state(), random.getstate()
    # manual_seed seeds every GPU, so the state of every GPU is saved.
    started = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = range(torch.cuda.device_count() if started else 0)
    with torch.random.fork_rng(list(devices)), torch.enable_grad(), _without_caches():
        torch.manual_seed(seed)
        try:
            # Not model.train(), which some models extend: those that merge their adapters for an
            # evaluation would change parameters. A model that trains stays as it is, for parts of
            # it, such as norms that are frozen, may have been set to evaluate.
            if not (training and model.training):
                set_modes(modules, training)
            for module in modules:
                # Hooks of the backward pass may scale the training's gradients, or count them.
                for name in BACKWARD_HOOKS:
                    if vars(module).get(name):
                        vars(module)[name] = OrderedDict()
            yield
        finally:
            for module, kept in attributes:
                _restore(vars(module), kept)
            for container, content in containers:
                container.clear()
                (container.extend if hasattr(container, "extend") else container.update)(content)
            with torch.no_grad():
                for tensor, version, saved in tensors:
                    if training or tensor._version != version:
                        tensor.copy_(saved)
            for generator, state in generators:
                generator.set_state(state)
            np.random.set_state(numpy_state)
            random.setstate(python_state)


def set_modes(modules: Iterable[torch.nn.Module], training: bool) -> None:
    """Set modules to train or to evaluate, so that a backward pass is possible.

    cuDNN has none for recurrent networks that evaluate: these train without dropout, which is the
    same.
    """
    for module in modules:
        module.training = training
        if not training and isinstance(module, torch.nn.RNNBase):
            module.training, module.dropout = True, 0.0


def _of_kind(modules: Iterable[torch.nn.Module], kind: type[Kind]) -> list[Kind]:
    """What modules keep as plain attributes, each once."""
    found = {id(value): value for m in modules for value in vars(m).values()
             if isinstance(value, kind)}  # fmt: skip
    return list(found.values())


def _containers(modules: Iterable[torch.nn.Module]) -> list[Any]:
    """Dictionaries, lists and the like that modules keep, those of buffers among them."""
    found = {id(value): value for m in modules for name, value in vars(m).items()
             if type(value) in CONTAINERS and name not in OF_MODULES}  # fmt: skip
    return list(found.values())


def _tensors(
    modules: Sequence[torch.nn.Module], containers: Iterable[tuple[Any, Any]]
) -> list[Tensor]:
    """Tensors without gradients in attributes, buffers and other containers, each once."""
    found = {id(one): one for module in modules for one in module.buffers(recurse=False)}
    found |= {id(one): one for one in _of_kind(modules, Tensor)}
    for _, content in containers:
        held = content.values() if isinstance(content, dict) else content
        found |= {id(one): one for one in held if isinstance(one, Tensor)}
    return [one for one in found.values() if not (one.requires_grad or one.is_inference())]


def _restore(attributes: dict[str, Any], kept: dict[str, Any]) -> None:
    """Give a module the attributes that it had."""
    for name in attributes.keys() - kept.keys():
        del attributes[name]
    for name, value in kept.items():
        if name not in attributes or attributes[name] is not value:
            attributes[name] = value


@contextmanager
def with_parameters(
    parameters: Sequence[Tensor], values: Sequence[Tensor] | None
) -> Iterator[None]:
    """Give parameters other values inside the context, and their own bits back after it.

    Parameters
    ----------
    parameters : sequence of Tensor
    values : sequence of Tensor or None
        Aligned with `parameters`, cast to their type; None leaves them as they are.
    """
    if values is None:
        yield
        return
    parameters = [parameter.detach() for parameter in parameters]
    saved = [parameter.clone() for parameter in parameters]
    try:
        torch._foreach_copy_(parameters, list(values))
        yield
    finally:
        torch._foreach_copy_(parameters, saved)


@contextmanager
def _without_caches() -> Iterator[None]:
    """Compute with the parameters as they are now.

    torch.autocast caches low-precision copies of the parameters until its outermost block ends, and
    parametrize.cached() caches parametrized values. If the training makes its step inside such a
    block, the cached values belong to the parameters before the step. In this context these caches
    are not read, and no values are left in them for the training.
    """
    hooks = []
    enabled = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    if _inside_autocast():
        # A torch.autocast object made earlier brings the cache back when it is entered inside.
        hooks.append(
            register_module_forward_pre_hook(
                lambda module, arguments: torch.set_autocast_cache_enabled(False)
            )
        )
    kept = parametrize._cache_enabled, parametrize._cache
    parametrize._cache_enabled, parametrize._cache = 0, {}
    try:
        yield
    finally:
        parametrize._cache_enabled, parametrize._cache = kept
        for hook in hooks:
            hook.remove()
        torch.set_autocast_cache_enabled(enabled)


def _inside_autocast() -> bool:
    return any(torch.is_autocast_enabled(device) for device in ("cpu", "cuda"))
