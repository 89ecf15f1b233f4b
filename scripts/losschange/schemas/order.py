"""In which order a forward pass uses the modules that hold parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from losschange.recording.side_effects import without_side_effects


def forward_order(
    model: torch.nn.Module, example: Sequence[Any] | Mapping[str, Any] | None = None
) -> list[str]:
    """Names of the modules that hold parameters of their own, in the order of the forward pass.

    Parameters
    ----------
    model : torch.nn.Module
    example : sequence or mapping, optional
        Arguments of the forward pass. Without it the pass is traced symbolically; where that
        fails, and for modules that a pass does not reach, the order is that of registration.
    """
    holders = [
        name for name, module in model.named_modules() if any(True for _ in own_parameters(module))
    ]
    used = _traced(model) if example is None else _observed(model, example)
    places: dict[str, int] = {}
    for place, name in enumerate(used):
        # A module that is called stands for all that it holds.
        for holder in holders:
            if holder == name or (name and holder.startswith(f"{name}.")):
                places.setdefault(holder, place)
    last = -1
    keys = []
    for number, holder in enumerate(holders):
        # What the pass did not show stands behind what was registered before it.
        last = places.get(holder, last)
        keys.append((last, number, holder))
    return [holder for _, _, holder in sorted(keys)]


def own_parameters(module: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """The trainable parameters that a module holds itself: (name, parameter)."""
    return (
        (name, parameter)
        for name, parameter in module.named_parameters(recurse=False)
        if parameter.requires_grad
    )


def call(model: torch.nn.Module, example: Sequence[Any] | Mapping[str, Any]) -> Any:
    """Run a model on an example: arguments by name or by position."""
    return model(**example) if isinstance(example, Mapping) else model(*example)


def _observed(model: torch.nn.Module, example: Sequence[Any] | Mapping[str, Any]) -> list[str]:
    """Names of the modules without parameters below them, in the order in which they are called."""
    called: list[str] = []
    hooks = [
        module.register_forward_pre_hook(lambda *_, name=name: called.append(name))
        for name, module in model.named_modules()
        if not any(True for child in module.children() for _ in child.parameters())
    ]
    try:
        with without_side_effects(model), torch.no_grad():
            call(model, example)
    finally:
        for hook in hooks:
            hook.remove()
    return called


def _traced(model: torch.nn.Module) -> list[str]:
    try:
        # Models that keep a state, such as the last hidden one, must not keep a symbol.
        with without_side_effects(model, model.training):
            graph = torch.fx.Tracer().trace(model)
    except Exception:  # whatever a forward pass may raise when it is given no numbers
        return []
    targets = [
        (node.op, str(node.target))
        for node in graph.nodes
        if node.op in ("call_module", "get_attr")
    ]
    # A parameter is used in the place of the module that holds it.
    return [name if op == "call_module" else name.rpartition(".")[0] for op, name in targets]
