"""Stacks of fairseq's Transformer layers: their parts, and hooks into their attention."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from fairseq.models.transformer import TransformerDecoderBase, TransformerEncoderBase
from torch import Tensor, nn

from attention_heads.handle import Attention, Tokens, gate_heads
from attention_heads.taps import AttentionModules
from common.files import UserError
from text.vocabulary import SPECIAL_IDS

PAD = SPECIAL_IDS["pad_id"]
# Ids that are not text: beginning of sentence, padding, end of sentence.
SYMBOLS = tuple(SPECIAL_IDS[name] for name in ("bos_id", "pad_id", "eos_id"))
KINDS = {"encoder": TransformerEncoderBase, "decoder": TransformerDecoderBase}


def stacks_of(model: Any) -> dict[str, Any]:
    """The stacks of a model: "encoder", "decoder", or both.

    Raises
    ------
    UserError
        If the model is no Transformer of fairseq, or has parts that are not supported.
    """
    sides = {side: getattr(model, side, None) for side in KINDS}
    stacks = {
        side: getattr(found, "sentence_encoder", found)
        for side, found in sides.items()
        if found is not None
    }
    if not stacks or not all(isinstance(stack, KINDS[side]) for side, stack in stacks.items()):
        raise UserError(
            f"{type(model).__name__} is no Transformer of fairseq: only transformer_lm, roberta "
            "and transformer models can be run layer by layer"
        )
    for side, stack in stacks.items():
        unusual = ("quant_noise", "adaptive_softmax", "cross_self_attention")
        found = [name for name in unusual if getattr(stack, name, None)]
        if found:
            raise UserError(
                f"the {side} of {type(model).__name__} uses {', '.join(found)}, which analyses do "
                "not support: train the model without"
            )
    return stacks


def attentions_of(stacks: Mapping[str, Any]) -> dict[str, Attention]:
    """The types of attention in a model: "encoder", "decoder", "cross"."""
    found = {}
    for side, stack in stacks.items():
        layers, first = len(stack.layers), stack.layers[0]
        own = "source" if side == "encoder" else "target"
        heads = first.self_attn.num_heads
        # The heads of a prefix language model also see later tokens, those of the prefix.
        causal = side == "decoder" and not getattr(stack, "sees_prefix", False)
        found[side] = Attention(side, layers, heads, own, own, causal=causal)
        across = getattr(first, "encoder_attn", None)
        if across is not None:
            found["cross"] = Attention("cross", layers, across.num_heads, "target", "source")
    return found


def prepare_stack(stack: Any) -> None:
    """Make attention compute its weights in fairseq's code, and activation functions modules.

    By default fairseq calls a function of PyTorch for self-attention. This function returns no
    attention weights of single heads and does not call the module of the out projection.
    """
    for layer in stack.layers:
        for name in ("self_attn", "encoder_attn"):
            block = getattr(layer, name, None)
            if block is not None:
                block._set_skip_embed_dim_check()
        wrap_activation(layer)


def wrap_activation(part: Any) -> None:
    """Make the activation function of a layer a module, so that hooks can be registered on it."""
    if not isinstance(part.activation_fn, nn.Module):
        part.activation_fn = _Activation(part.activation_fn)


class _Activation(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]):
        super().__init__()
        self._function = function

    def forward(self, x: Tensor) -> Tensor:
        return self._function(x)


def present_tokens(ids: Tensor) -> Tokens:
    """Masks of ids (sentences, length): which are not padding, and which are text."""
    symbols = torch.tensor(SYMBOLS, device=ids.device, dtype=ids.dtype)
    return Tokens(ids, ids != PAD, ~torch.isin(ids, symbols))


def embed(stack: Any, tokens: Tokens, positions: bool) -> Tensor:
    """Input of the first layer of a stack: Tensor (sentences, length, width).

    Parameters
    ----------
    stack : fairseq encoder or decoder
    tokens : Tokens
    positions : bool
        Whether position embeddings are added. Without them, token embeddings are still scaled and
        normalised where the model has a scale and a layer norm after the sum.
    """
    x: Tensor = stack.embed_scale * stack.embed_tokens(tokens.ids)
    if getattr(stack, "project_in_dim", None) is not None:
        x = stack.project_in_dim(x)
    if positions and stack.embed_positions is not None:
        x = x + stack.embed_positions(tokens.ids)
    if stack.layernorm_embedding is not None:
        x = stack.layernorm_embedding(x)
    x = stack.dropout_module(x)
    if isinstance(stack, TransformerEncoderBase):
        # Only fairseq's encoder sets the embeddings of padding to zero.
        x = x * tokens.present.unsqueeze(-1)
    return x


def last_states(stack: Any, x: Tensor) -> Tensor:
    """What the output projection of a decoder reads, from the states behind its last layer."""
    if stack.layer_norm is not None:
        x = stack.layer_norm(x)
    if stack.project_out_dim is not None:
        x = stack.project_out_dim(x)
    return x


@contextmanager
def gated_heads(
    modules: Mapping[str, AttentionModules],
    gates: Mapping[str, Tensor],
    weights: dict[str, Tensor] | None,
) -> Iterator[None]:
    """Within the context, gate the heads of a layer and store their attention weights.

    Parameters
    ----------
    modules : mapping of attention name to AttentionModules
        Their tensors have the length as first dimension, as in fairseq's layers.
    gates, weights
        See attention_heads.handle.ModelHandle.step.
    """
    with ExitStack() as stack:
        for name, parts in modules.items():
            hooks = []
            if name in gates:
                hooks.append(parts.out.register_forward_pre_hook(_closing(gates[name])))
            if weights is not None:
                attention = parts.attention
                hooks += [
                    attention.register_forward_pre_hook(_asking_for_weights, with_kwargs=True),
                    attention.register_forward_hook(_watching(name, weights)),
                ]
            for hook in hooks:
                stack.callback(hook.remove)
        yield


def _closing(gates: Tensor) -> Callable[..., tuple[Tensor]]:
    def hook(module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        return (gate_heads(inputs[0].transpose(0, 1), gates).transpose(0, 1),)

    return hook


def _asking_for_weights(
    module: nn.Module, inputs: Any, options: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    return inputs, {**options, "need_head_weights": True}


def _watching(name: str, weights: dict[str, Tensor]) -> Callable[..., None]:
    def hook(module: nn.Module, inputs: Any, output: tuple[Tensor, Tensor]) -> None:
        # In fairseq's weights the dimension of heads precedes that of sentences.
        weights[name] = output[1].transpose(0, 1)

    return hook
