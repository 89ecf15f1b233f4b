"""Schemas of Llama and of the many models with its names, mixtures of experts among them."""

from __future__ import annotations

import re
from typing import Any

from losschange.cube.layout import COMPONENTS
from losschange.recording.partition import Rule, Schema

from .parts import (
    EXPERT_COMPONENTS,
    QKV,
    ROUTER,
    attention_rules,
    feed_forward_rules,
    norm_rule,
    stacks_of,
)

NAMES = ("q_proj", "k_proj", "v_proj", "o_proj")


def llama_schema(
    layers: int, heads: int, key_value_heads: int | None = None, prefix: str = ""
) -> Schema:
    """Schema of Hugging Face's Llama and of models with the same names, such as Mistral and Qwen.

    The gate of the feed-forward block counts to W1. Where several query heads share a key and
    value head, keys and values have a cell per key and value head.

    Parameters
    ----------
    layers, heads : int
        `num_hidden_layers` and `num_attention_heads` of the configuration.
    key_value_heads : int, optional
        `num_key_value_heads`, if it is not `heads`.
    prefix : str
        What stands before the names, such as "model." in a module that keeps the model as
        `self.model`.
    """
    base = re.escape(prefix) + r"(model\.)?"
    layer = base + r"layers\.(?P<layer>\d+)\."
    rules = (
        *_outer_rules(base, layers),
        *attention_rules(layer + r"self_attn\.", NAMES, heads, key_value_heads),
        *feed_forward_rules(layer + r"mlp\.", "gate_proj|up_proj", "down_proj"),
        Rule(re.escape(prefix) + r"lm_head\.weight", "output", layers + 1),
    )
    return Schema(stacks_of(layers, "decoder"), heads, rules)


def llama_family(base: str, config: Any) -> Schema:
    """Schema of Llama, Mistral, Qwen2, Qwen3, Gemma, OLMo, Phi-3, Mixtral and Qwen's experts.

    Experts own runs of the first dimension of their stacked matrices: expert e of W1 stands under
    head e. What all tokens share stands under no head.
    """
    layers, heads = config.num_hidden_layers, config.num_attention_heads
    shared = getattr(config, "num_key_value_heads", None) or heads
    experts = _experts_of(config)
    layer = base + r"layers\.(?P<layer>\d+)\."
    attention = layer + r"self_attn\."
    rules = [
        *_outer_rules(base, layers),
        *attention_rules(attention, NAMES, heads, shared),
        Rule(attention + r"qkv_proj\.weight", QKV, 1, "rows", (heads, shared, shared)),
        *feed_forward_rules(
            layer + r"mlp\.(shared_expert\.)?", "gate_proj|up_proj|gate_up_proj", "down_proj"
        ),
    ]
    if experts:
        rules += [
            Rule(layer + r"mlp\.experts\.gate_up_proj", "W1", 1, "rows", experts),
            Rule(layer + r"mlp\.experts\.down_proj", "W2", 1, "rows", experts),
            Rule(layer + r"mlp\.(gate|shared_expert_gate)\.weight", ROUTER, 1),
        ]
    return Schema(
        stacks_of(layers, "decoder"),
        max(heads, experts),
        tuple(rules),
        EXPERT_COMPONENTS if experts else COMPONENTS,
    )


def _outer_rules(base: str, layers: int) -> list[Rule]:
    layer = base + r"layers\.(?P<layer>\d+)\."
    return [
        Rule(base + r"embed_tokens\.weight", "embedding", 0),
        norm_rule(layer + r"(self_attn\.[qk]_norm|(\w+_)?layernorm)"),
        norm_rule(base + r"norm", layers + 1),
    ]


def _experts_of(config: Any) -> int:
    for name in ("num_local_experts", "num_experts"):
        if getattr(config, name, None):
            return int(getattr(config, name))
    return 0
