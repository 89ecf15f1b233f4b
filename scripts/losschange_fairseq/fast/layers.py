"""fairseq's Transformer layers as functions that take the stock modules; batch first."""

from __future__ import annotations

from torch import Tensor

from .attention import cross_attention, self_attention
from .dropout import add_dropped


def encoder_layer(layer, x: Tensor, seen: Tensor | None) -> Tensor:
    """Output of an encoder layer.

    Parameters
    ----------
    layer : fairseq.modules.TransformerEncoderLayerBase
    x : Tensor (batch, length, width)
    seen : bool Tensor (batch, 1, 1, length) or None
        False at padding; None if there is no padding.
    """
    residual = x
    x = _before(layer, layer.self_attn_layer_norm, x)
    x = self_attention(layer.self_attn, x, False, seen)
    x = _after(layer, layer.self_attn_layer_norm, x, residual)
    return _feed_forward(layer, x)


def decoder_layer(
    layer, x: Tensor, source: Tensor | None, seen: Tensor | None, mask: Tensor | None = None
) -> Tensor:
    """Output of a decoder layer.

    The padding of a target is at its end. The causal mask already keeps all words before the
    padding from attending to it, so no other mask is needed.

    Parameters
    ----------
    layer : fairseq.modules.TransformerDecoderLayerBase
    x : Tensor (batch, length, width)
    source : Tensor (batch, source length, width) or None
        The encoder's output; None in a language model.
    seen : bool Tensor (batch, 1, 1, source length) or None
        False at the source's padding; None if there is no padding.
    mask : bool Tensor (1 or batch, 1, length, length), optional
        False at keys that a query may not attend to; causal without it.
    """
    residual = x
    x = _before(layer, layer.self_attn_layer_norm, x)
    x = self_attention(layer.self_attn, x, mask is None, mask)
    x = _after(layer, layer.self_attn_layer_norm, x, residual)
    if source is not None:
        residual = x
        x = _before(layer, layer.encoder_attn_layer_norm, x)
        x = cross_attention(layer.encoder_attn, x, source, seen)
        x = _after(layer, layer.encoder_attn_layer_norm, x, residual)
    return _feed_forward(layer, x)


def _feed_forward(layer, x: Tensor) -> Tensor:
    residual = x
    x = _before(layer, layer.final_layer_norm, x)
    x = layer.activation_dropout_module(layer.activation_fn(layer.fc1(x)))
    return _after(layer, layer.final_layer_norm, layer.fc2(x), residual)


def _before(layer, norm, x: Tensor) -> Tensor:
    return norm(x) if layer.normalize_before else x


def _after(layer, norm, x: Tensor, residual: Tensor) -> Tensor:
    x = add_dropped(layer.dropout_module, residual, x)
    return x if layer.normalize_before else norm(x)
