"""Schemas of GPT-2 and GPT-NeoX (Pythia), whose query, key and value are one fused tensor."""

from __future__ import annotations

import re
from typing import Any

from losschange.recording.partition import Rule, Schema

from .parts import QKV, attention_rules, feed_forward_rules, norm_rule, stacks_of


def gpt2_schema(layers: int, heads: int, prefix: str = "") -> Schema:
    """Schema of Hugging Face's GPT2Model and GPT2LMHeadModel.

    Their Conv1D keeps weights as (inputs, outputs), transposed to a Linear. So query, key and value
    share the columns of `c_attn`, and a head owns rows of the output projection `c_proj`.

    Parameters
    ----------
    layers, heads : int
        `n_layer` and `n_head` of the configuration.
    prefix : str
        What stands before the names, such as "model." in a module that keeps the Transformer as
        `self.model`.
    """
    head = Rule(re.escape(prefix) + r"lm_head\.weight", "output", layers + 1)
    rules = _gpt2_rules(re.escape(prefix) + r"(transformer\.)?", layers, heads)
    return Schema(stacks_of(layers, "decoder"), heads, (*rules, head))


def gpt2_family(base: str, config: Any) -> Schema:
    """Schema of a GPT-2 below the pattern `base`, without what stands on top of it."""
    layers, heads = config.num_hidden_layers, config.num_attention_heads
    return Schema(stacks_of(layers, "decoder"), heads, tuple(_gpt2_rules(base, layers, heads)))


def _gpt2_rules(base: str, layers: int, heads: int) -> list[Rule]:
    layer = base + r"h\.(?P<layer>\d+)\."
    return [
        Rule(base + r"wte\.weight", "embedding", 0),
        Rule(base + r"wpe\.weight", "position", 0),
        Rule(layer + r"attn\.c_attn\.weight", QKV, 1, "columns"),
        Rule(layer + r"attn\.c_attn\.bias", ("bias",) * 3, 1, "rows"),
        Rule(layer + r"attn\.c_proj\.weight", "out", 1, "rows"),
        Rule(layer + r"attn\.c_proj\.bias", "bias", 1),
        *feed_forward_rules(layer + r"mlp\.", "c_fc", "c_proj"),
        norm_rule(layer + r"ln_[12]"),
        norm_rule(base + r"ln_f", layers + 1),
    ]


def gpt_neox_family(base: str, config: Any) -> Schema:
    """Schema of a GPT-NeoX such as Pythia: each head's query, key and value stand together."""
    layers, heads = config.num_hidden_layers, config.num_attention_heads
    layer = base + r"layers\.(?P<layer>\d+)\."
    fused = layer + r"attention\.query_key_value\."
    rules = (
        Rule(base + r"embed_in\.weight", "embedding", 0),
        Rule(fused + "weight", QKV, 1, "rows", order="heads"),
        Rule(fused + "bias", ("bias",) * 3, 1, "rows", order="heads"),
        Rule(layer + r"attention\.dense\.weight", "out", 1, "columns"),
        Rule(layer + r"attention\.dense\.bias", "bias", 1),
        *feed_forward_rules(layer + r"mlp\.", "dense_h_to_4h", "dense_4h_to_h"),
        norm_rule(layer + r"(input|post_attention)_layernorm"),
        norm_rule(base + r"final_layer_norm", layers + 1),
    )
    return Schema(stacks_of(layers, "decoder"), heads, rules)


def phi_family(base: str, config: Any) -> Schema:
    """Schema of Phi (1, 1.5 and 2)."""
    layers, heads = config.num_hidden_layers, config.num_attention_heads
    layer = base + r"layers\.(?P<layer>\d+)\."
    names = ("q_proj", "k_proj", "v_proj", "dense")
    rules = (
        Rule(base + r"embed_tokens\.weight", "embedding", 0),
        *attention_rules(layer + r"self_attn\.", names, heads, config.num_key_value_heads),
        *feed_forward_rules(layer + r"mlp\.", "fc1", "fc2"),
        norm_rule(layer + r"(input_layernorm|self_attn\.[qk]_layernorm)"),
        norm_rule(base + r"final_layernorm", layers + 1),
    )
    return Schema(stacks_of(layers, "decoder"), heads, rules)
