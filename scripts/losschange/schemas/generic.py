"""Schema of any network: a layer per module that holds parameters."""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import nn

from losschange.recording.partition import Rule, Schema

from .order import own_parameters

# What a kernel of a linear map or of a convolution is called, and that of a recurrent network
# which multiplies its own state.
WEIGHT, RECURRENT = "weight", "recurrent"
GENERIC_COMPONENTS = ("embedding", WEIGHT, RECURRENT, "bias", "norm")


def module_schema(model: nn.Module, order: Sequence[str]) -> Schema:
    """Schema of a network that is no Transformer, such as an MLP, a CNN or an LSTM.

    Parameters
    ----------
    model : torch.nn.Module
    order : sequence of str
        Names of the modules that hold parameters, as the forward pass uses them.

    Returns
    -------
    Schema
        Layer k, called by its module's name, holds the parameters of the k-th module; depths are
        counted from 0. There are no heads, and only components that the network has.
    """
    modules = dict(model.named_modules())
    rules, found = [], set()
    for depth, owner in enumerate(order):
        for name, _ in own_parameters(modules[owner]):
            component = _component(modules[owner], name)
            found.add(component)
            full = f"{owner}.{name}" if owner else name
            rules.append(Rule(re.escape(full), component, depth))
    return Schema(
        tuple(name or type(model).__name__ for name in order),
        0,
        tuple(rules),
        tuple(name for name in GENERIC_COMPONENTS if name in found),
    )


def is_norm(module: nn.Module) -> bool:
    """Whether a module normalises: by its class, or by the class's name for one's own."""
    known = nn.modules.batchnorm._NormBase | nn.LayerNorm | nn.GroupNorm
    return isinstance(module, known) or "norm" in type(module).__name__.lower()


def _component(module: nn.Module, name: str) -> str:
    if is_norm(module):
        return "norm"
    if "bias" in name:
        return "bias"
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        return "embedding"
    recurrent = isinstance(module, nn.RNNBase | nn.RNNCellBase) and "_hh" in name
    return RECURRENT if recurrent else WEIGHT
