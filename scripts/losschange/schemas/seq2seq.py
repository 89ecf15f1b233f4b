"""Schemas of OPT, BART, Marian and T5: the fairseq names, and T5's own."""

from __future__ import annotations

from typing import Any

from losschange.recording.partition import Rule, Schema

from .parts import attention_rules, feed_forward_rules, norm_rule, stacks_of

NAMES = ("q_proj", "k_proj", "v_proj", "out_proj")


def opt_family(base: str, config: Any) -> Schema:
    """Schema of OPT, a decoder alone."""
    layers, heads = config.num_hidden_layers, config.num_attention_heads
    stack = base + r"decoder\."
    rules = (
        Rule(stack + r"(embed_tokens|project_in)\.weight", "embedding", 0),
        Rule(stack + r"embed_positions\.weight", "position", 0),
        *_layer_rules(stack, heads, 1, cross=False),
        norm_rule(stack + r"final_layer_norm", layers + 1),
        Rule(stack + r"project_out\.weight", "output", layers + 1),
    )
    return Schema(stacks_of(layers, "decoder"), heads, rules)


def bart_family(base: str, config: Any) -> Schema:
    """Schema of BART, mBART and Marian; encoder and decoder may have different numbers of heads.

    The final norm of mBART's encoder counts to its last layer.
    """
    encoder, decoder = config.encoder_layers, config.decoder_layers
    heads = config.encoder_attention_heads, config.decoder_attention_heads
    rules = (
        Rule(base + r"(shared|(encoder|decoder)\.embed_tokens)\.weight", "embedding", 0),
        Rule(base + r"(encoder|decoder)\.embed_positions\.weight", "position", 0),
        norm_rule(base + r"(encoder|decoder)\.layernorm_embedding", 0),
        norm_rule(base + r"encoder\.layer_norm", encoder),
        norm_rule(base + r"decoder\.layer_norm", encoder + decoder + 1),
        *_layer_rules(base + r"encoder\.", heads[0], 1, cross=False),
        *_layer_rules(base + r"decoder\.", heads[1], encoder + 1, cross=True),
    )
    stacks = ("embedding", *["encoder"] * encoder, *["decoder"] * decoder, "output")
    return Schema(stacks, max(heads), rules)


def _layer_rules(stack: str, heads: int, depth: int, cross: bool) -> list[Rule]:
    layer = stack + r"layers\.(?P<layer>\d+)\."
    rules = [
        *attention_rules(layer + r"self_attn\.", NAMES, heads, depth=depth),
        *feed_forward_rules(layer, "fc1", "fc2", depth),
        norm_rule(layer + r"(self_attn|encoder_attn|final)_layer_norm", depth),
    ]
    if cross:
        rules += attention_rules(layer + r"encoder_attn\.", NAMES, heads, depth=depth, cross=True)
    return rules


def t5_family(base: str, config: Any) -> Schema:
    """Schema of T5; the relative positions, which all layers of a stack share, are in layer 0.

    The final norm of the encoder counts to its last layer.
    """
    encoder, heads = config.num_layers, config.num_heads
    decoder = getattr(config, "num_decoder_layers", None) or encoder
    names = ("q", "k", "v", "o")
    rules = [
        Rule(base + r"(shared|(encoder|decoder)\.embed_tokens)\.weight", "embedding", 0),
        norm_rule(base + r"encoder\.final_layer_norm", encoder),
        norm_rule(base + r"decoder\.final_layer_norm", encoder + decoder + 1),
        Rule(base + r"lm_head\.weight", "output", encoder + decoder + 1),
    ]
    for stack, depth in (("encoder", 1), ("decoder", encoder + 1)):
        layer = base + stack + r"\.block\.(?P<layer>\d+)\.layer\.\d\."
        rules += [
            *attention_rules(layer + r"SelfAttention\.", names, heads, depth=depth),
            Rule(
                base + stack + r"\.block\.0\.layer\.0\.SelfAttention\.relative_attention_bias"
                r"\.weight", "position", 0,
            ),
            *feed_forward_rules(layer + r"DenseReluDense\.", r"wi|wi_0|wi_1", "wo", depth),
            norm_rule(layer + r"layer_norm", depth),
        ]  # fmt: skip
    layer = base + r"decoder\.block\.(?P<layer>\d+)\.layer\.1\."
    rules += attention_rules(
        layer + r"EncDecAttention\.", names, heads, depth=encoder + 1, cross=True
    )
    stacks = ("embedding", *["encoder"] * encoder, *["decoder"] * decoder, "output")
    return Schema(stacks, heads, tuple(rules))
