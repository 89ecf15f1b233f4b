"""Schemas for fairseq's Transformer architectures: parameter names to cube cells."""

from __future__ import annotations

from losschange.cube.layout import COMPONENTS, DECODER_EMBEDDING, WITH_DECODER_EMBEDDING
from losschange.recording.partition import Rule, Schema


def causal_lm_schema(layers: int, heads: int) -> Schema:
    """Schema of `transformer_lm`: one decoder stack without cross-attention."""
    return Schema(
        stacks=("embedding", *["decoder"] * layers, "output"),
        heads=heads,
        rules=(*_decoder_rules(first=1, end=layers + 1),),
    )


def masked_lm_schema(layers: int, heads: int) -> Schema:
    """Schema of `roberta`: one encoder stack, learned positions and a head for masked tokens."""
    stack, head = r"encoder\.sentence_encoder\.", r"encoder\.lm_head\."
    end = layers + 1
    return Schema(
        stacks=("embedding", *["encoder"] * layers, "output"),
        heads=heads,
        rules=(
            Rule(stack + r"embed_tokens\.weight", "embedding", 0),
            Rule(stack + r"embed_positions\.weight", "position", 0),
            Rule(stack + r"layernorm_embedding\.(weight|bias)", "norm", 0),
            *_layer_rules(stack + r"layers\.", 1),
            Rule(stack + r"layer_norm\.(weight|bias)", "norm", end),
            Rule(head + r"(weight|dense\.weight)", "output", end),
            Rule(head + r"(bias|dense\.bias)", "bias", end),
            Rule(head + r"layer_norm\.(weight|bias)", "norm", end),
        ),
    )


def translation_schema(
    encoder_layers: int, decoder_layers: int, heads: int, own_embedding: bool = False
) -> Schema:
    """Schema of `transformer`: an encoder stack, then a decoder stack with cross-attention.

    With `own_embedding` the decoder's embedding is not the encoder's, and has a component of its
    own.
    """
    end = encoder_layers + decoder_layers + 1
    return Schema(
        stacks=(
            "embedding",
            *["encoder"] * encoder_layers,
            *["decoder"] * decoder_layers,
            "output",
        ),
        heads=heads,
        rules=(
            Rule(r"encoder\.embed_tokens\.weight", "embedding", 0),
            Rule(r"encoder\.embed_positions\.weight", "position", 0),
            Rule(r"encoder\.layernorm_embedding\.(weight|bias)", "norm", 0),
            *_layer_rules(r"encoder\.layers\.", 1),
            # The encoder's final norm belongs to the encoder's last layer: the next depth number
            # is that of the decoder's first layer.
            Rule(r"encoder\.layer_norm\.(weight|bias)", "norm", encoder_layers),
            *_decoder_rules(
                encoder_layers + 1, end, DECODER_EMBEDDING if own_embedding else "embedding"
            ),
        ),
        components=WITH_DECODER_EMBEDDING if own_embedding else COMPONENTS,
    )


def _decoder_rules(first: int, end: int, embedding: str = "embedding") -> list[Rule]:
    return [
        Rule(r"decoder\.embed_tokens\.weight", embedding, 0),
        Rule(r"decoder\.embed_positions\.weight", "position", 0),
        Rule(r"decoder\.layernorm_embedding\.(weight|bias)", "norm", 0),
        *_layer_rules(r"decoder\.layers\.", first),
        *_attention_rules(r"decoder\.layers\.(?P<layer>\d+)\.encoder_attn\.", first, "cross_"),
        Rule(r"decoder\.layers\.(?P<layer>\d+)\.encoder_attn_layer_norm\..*", "norm", first),
        Rule(r"decoder\.layer_norm\.(weight|bias)", "norm", end),
        Rule(r"decoder\.output_projection\.weight", "output", end),
        Rule(r"decoder\.output_projection\.bias", "bias", end),
    ]


def _layer_rules(prefix: str, first: int) -> list[Rule]:
    """Rules for the parts of every Transformer layer; `first` is the depth of layer 0."""
    layer = prefix + r"(?P<layer>\d+)\."
    return [
        *_attention_rules(layer + r"self_attn\.", first, ""),
        Rule(layer + r"fc1\.weight", "W1", first),
        Rule(layer + r"fc2\.weight", "W2", first),
        Rule(layer + r"fc[12]\.bias", "bias", first),
        Rule(layer + r"(self_attn|final)_layer_norm\.(weight|bias)", "norm", first),
    ]


def _attention_rules(prefix: str, first: int, kind: str) -> list[Rule]:
    """Rules of one attention block; `kind` is "" or "cross_"."""
    return [
        Rule(prefix + r"k_proj\.weight", f"{kind}key", first, "rows"),
        Rule(prefix + r"q_proj\.weight", f"{kind}query", first, "rows"),
        Rule(prefix + r"v_proj\.weight", f"{kind}value", first, "rows"),
        Rule(prefix + r"out_proj\.weight", f"{kind}out", first, "columns"),
        Rule(prefix + r"[kqv]_proj\.bias", "bias", first, "rows"),
        Rule(prefix + r"out_proj\.bias", "bias", first),
    ]
