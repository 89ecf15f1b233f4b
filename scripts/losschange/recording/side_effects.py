"""Contexts in which a model can be evaluated in mid-training without side effects.

Recording must not change a bit of the training, so these contexts restore random states, modes,
buffers and parameters at their end.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.nn.utils import parametrize


@contextmanager
def without_side_effects(
    model: torch.nn.Module, training: bool = False, seed: int = 0
) -> Iterator[None]:
    """Run a model beside its training.

    Parameters
    ----------
    model : torch.nn.Module
    training : bool
        Whether dropout is on.
    seed : int
        Of the random numbers drawn inside (dropout masks).
    """
    modes = [(module, module.training) for module in model.modules()]
    buffers = [(buffer, buffer._version, buffer.clone()) for buffer in model.buffers()]
    numpy_state, python_state = np.random.get_state(), random.getstate()
    # manual_seed seeds every GPU, so the state of every GPU is saved.
    started = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = range(torch.cuda.device_count() if started else 0)
    with torch.random.fork_rng(list(devices)), torch.enable_grad(), _without_caches():
        torch.manual_seed(seed)
        try:
            model.train(training)
            yield
        finally:
            for module, mode in modes:
                module.training = mode
            with torch.no_grad():
                for buffer, version, saved in buffers:
                    if training or buffer._version != version:
                        buffer.copy_(saved)
            np.random.set_state(numpy_state)
            random.setstate(python_state)


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
