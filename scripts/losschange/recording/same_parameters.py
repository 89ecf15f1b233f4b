"""Check before every update that the trained parameters are still those that are recorded.

Parameters that come, go, or are tied in mid-training would count to the wrong cells, or to none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from losschange.errors import RecordingError

from .optimizers import held_parameters
from .shards import is_sharded

AGAIN = "attach a new recorder to a new folder when parameters come or go"


class SameParameters:
    """The parameters of a model and of its optimizers when the recording began.

    Parameters
    ----------
    model : torch.nn.Module
    named : sequence of (name, parameter)
        Those that are trained.
    optimizers : sequence
        Those that move them.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        named: Sequence[tuple[str, torch.nn.Parameter]],
        optimizers: Sequence[Any],
    ):
        self._model, self._named, self._optimizers = model, list(named), list(optimizers)
        self._kinds = [(p.dtype, p.device, p.shape) for _, p in self._named]
        self._trained = {id(parameter) for _, parameter in self._named}
        self._known = {id(p) for optimizer in self._optimizers for p in held_parameters(optimizer)}
        # While a model computes, `fully_shard` puts others into the place of its parameters.
        divided = any(is_sharded(parameter) for _, parameter in self._named)
        self._places = None if divided else _places(model)

    def check(self, update: int) -> None:
        """Raise RecordingError, naming the parameter, if they are no longer the same.

        Parameters
        ----------
        update : int
            The one that is about to be made.
        """
        self._check_optimizers(update)
        self._check_model(update)
        for (name, parameter), (dtype, device, shape) in zip(self._named, self._kinds, strict=True):
            if not parameter.requires_grad:
                raise RecordingError(
                    f"update {update}: {name!r} was frozen in mid-training; {AGAIN}"
                )
            if (parameter.dtype, parameter.device, parameter.shape) != (dtype, device, shape):
                raise RecordingError(
                    f"update {update}: {name!r} is now {parameter.dtype} of shape "
                    f"{tuple(parameter.shape)} on {parameter.device}, and was {dtype} of shape "
                    f"{tuple(shape)} on {device} when the recorder was attached. Convert and move "
                    "the model before"
                )

    def _check_optimizers(self, update: int) -> None:
        held = (p for optimizer in self._optimizers for p in held_parameters(optimizer))
        for position, parameter in enumerate(held):
            if id(parameter) not in self._known:
                raise RecordingError(
                    f"update {update}: the optimizer was given a parameter of shape "
                    f"{tuple(parameter.shape)} (number {position}) in mid-training; {AGAIN}"
                )
            if id(parameter) in self._trained or not parameter.numel():
                continue
            what = f"a parameter of shape {tuple(parameter.shape)} (number {position} of the "
            if parameter.requires_grad:
                raise RecordingError(
                    f"update {update}: {what}optimizer), frozen before, is trained now; {AGAIN}"
                )
            if parameter.grad is not None:
                raise RecordingError(
                    f"update {update}: {what}optimizer) is frozen but has a gradient, so momentum "
                    "and weight decay still move it. Set its .grad to None, or take it out of the "
                    "optimizer"
                )

    def _check_model(self, update: int) -> None:
        if self._places is None or all(held.get(name) is one for held, name, one in self._places):
            return
        # Modules may be wrapped or moved, as long as the model still has all parameters.
        present = {id(parameter) for parameter in self._model.parameters()}
        for name, parameter in self._named:
            if id(parameter) not in present:
                raise RecordingError(
                    f"update {update}: {name!r} is no longer a parameter of the model: it was "
                    f"replaced, tied to another, or taken out in mid-training; {AGAIN}"
                )
        self._places = _places(self._model)


def _places(model: torch.nn.Module) -> list[tuple[dict[str, Any], str, Any]]:
    """Where a model keeps its modules and parameters: (dictionary, name, what is there)."""
    found: list[tuple[dict[str, Any], str, Any]] = []
    for module in model.modules():
        for held in (module._modules, module._parameters):
            if isinstance(held, dict):
                found += [(held, name, one) for name, one in held.items() if one is not None]
    return found
