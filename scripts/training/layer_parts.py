"""fairseq's layers as sequences of modules, for analyses that treat each module separately."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from attention_heads.alpha_beta import AttentionBlock, LayerParts
from common.files import UserError


def layer_parts(
    layer: Any, attentions: Sequence[str], side: str, norm_after: nn.LayerNorm | None
) -> LayerParts:
    """The parts of a layer.

    Parameters
    ----------
    layer : fairseq encoder or decoder layer
    attentions : sequence of str
        "encoder", "decoder" or "cross", in the order in which they run.
    side : str
        "source" or "target": the states that the layer changes.
    norm_after : nn.LayerNorm or None
        The norm after the stack, if the layer is its last.
    """
    blocks = [_attention_block(layer, name) for name in attentions]
    return LayerParts(
        stream=side,
        attentions=blocks,
        first=layer.fc1,
        second=layer.fc2,
        activation=layer.activation_fn,
        norm=layer.final_layer_norm,
        norm_first=layer.normalize_before,
        # The norm after a decoder is part of the output, see output_parts.
        last_norm=norm_after if side == "source" else None,
    )


def output_parts(stacks: Mapping[str, Any]) -> tuple[str, nn.LayerNorm | None, nn.Linear]:
    """The side whose states give the logits, the last norm and the output projection.

    Raises
    ------
    UserError
        If the logits are computed by more than a norm and a linear map.
    """
    stack = stacks.get("decoder")
    if stack is None or stack.project_out_dim is not None:
        raise UserError(
            "the logits of this model are no linear map of its states, so that this rule does not "
            "apply: take gradient x activation"
        )
    return "target", stack.layer_norm, stack.output_projection


def _attention_block(layer: Any, name: str) -> AttentionBlock:
    if name == "cross":
        block, norm = layer.encoder_attn, layer.encoder_attn_layer_norm
        return AttentionBlock(name, block.v_proj, block.out_proj, norm, memory="source")
    block, norm = layer.self_attn, layer.self_attn_layer_norm
    return AttentionBlock(name, block.v_proj, block.out_proj, norm)
