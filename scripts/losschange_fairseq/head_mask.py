"""Close attention heads for a whole training, such as the heads that pruning has removed.

The outputs of a closed head are multiplied by 0 before the out projection. So its query, key and
value weights and its columns of the out projection have a gradient of exactly 0, and an LCA of
exactly 0 even where weight decay changes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

# The stack of each attention type, and its module in a layer.
MODULES = {
    "encoder": ("encoder", "self_attn"),
    "decoder": ("decoder", "self_attn"),
    "cross": ("decoder", "encoder_attn"),
}
Mask = Mapping[str, Sequence[Sequence[float]]]


def close_heads(model: nn.Module, mask: Mask) -> list[RemovableHandle]:
    """Multiply the outputs of heads by fixed numbers, in training and in decoding.

    The names of parameters do not change. Works for fairseq's own layers and for the fast ones.

    Parameters
    ----------
    model : fairseq model
        A `transformer`, `transformer_lm` or `roberta` model; changed in place.
    mask : mapping of attention type to numbers (layers, heads)
        1 = as it is, 0 = closed. Attention types that are left out stay as they are.

    Returns
    -------
    list of RemovableHandle
        To open the heads again.

    Raises
    ------
    ValueError
        If the mask does not have the shape of the model's heads.
    """
    hooks = []
    for attention, rows in mask.items():
        blocks = _blocks(model, attention)
        heads = [block.num_heads for block in blocks]
        if [len(row) for row in rows] != heads:
            found = [len(row) for row in rows]
            raise ValueError(
                f"the mask of the {attention} attention has layers of {found} heads, "
                f"the model has {heads or 'no such attention'}"
            )
        for block, row in zip(blocks, rows):
            # fairseq's shortcut for self-attention would not call the out projection as a module.
            block._set_skip_embed_dim_check()
            factors = torch.tensor(row).repeat_interleave(block.head_dim)
            hooks.append(block.out_proj.register_forward_pre_hook(_multiplying(factors)))
    return hooks


def _blocks(model: nn.Module, attention: str) -> list:
    """The modules of an attention type, from the first layer to the last."""
    if attention not in MODULES:
        return []
    side, name = MODULES[attention]
    stack = getattr(model, side, None)
    stack = getattr(stack, "sentence_encoder", stack)
    layers = [] if stack is None else stack.layers
    found = [getattr(layer, name, None) for layer in layers]
    return [block for block in found if block is not None]


def _multiplying(factors: Tensor):
    # Convert the factors at the first batch, because the model is moved to its device later.
    kept = {}

    def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        outputs = inputs[0]
        key = outputs.device, outputs.dtype
        if key not in kept:
            kept[key] = factors.to(*key)
        return (outputs * kept[key], *inputs[1:])

    return hook
