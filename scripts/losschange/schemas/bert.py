"""Schemas of encoders: BERT, RoBERTa, ModernBERT and ViT."""

from __future__ import annotations

from typing import Any

from losschange.recording.partition import Rule, Schema

from .parts import QKV, attention_rules, feed_forward_rules, norm_rule, stacks_of


def bert_family(base: str, config: Any) -> Schema:
    """Schema of BERT and RoBERTa; the pooler counts to the output."""
    layers, heads = config.num_hidden_layers, config.num_attention_heads
    layer = base + r"encoder\.layer\.(?P<layer>\d+)\."
    words = base + r"embeddings\."
    names = (r"self\.query", r"self\.key", r"self\.value", r"output\.dense")
    rules = (
        Rule(words + r"(word|token_type)_embeddings\.weight", "embedding", 0),
        Rule(words + r"position_embeddings\.weight", "position", 0),
        norm_rule(words + "LayerNorm", 0),
        *attention_rules(layer + r"attention\.", names, heads),
        *feed_forward_rules(layer, r"intermediate\.dense", r"output\.dense"),
        norm_rule(layer + r"(attention\.)?output\.LayerNorm"),
        Rule(base + r"pooler\.dense\.weight", "output", layers + 1),
        Rule(base + r"pooler\.dense\.bias", "bias", layers + 1),
    )
    return Schema(stacks_of(layers, "encoder"), heads, rules)


def modernbert_family(base: str, config: Any) -> Schema:
    """Schema of ModernBERT: fused query, key and value, and a fused gate that counts to W1."""
    layers, heads = config.num_hidden_layers, config.num_attention_heads
    layer = base + r"layers\.(?P<layer>\d+)\."
    rules = (
        Rule(base + r"embeddings\.tok_embeddings\.weight", "embedding", 0),
        norm_rule(base + r"embeddings\.norm", 0),
        Rule(layer + r"attn\.Wqkv\.weight", QKV, 1, "rows"),
        Rule(layer + r"attn\.Wqkv\.bias", ("bias",) * 3, 1, "rows"),
        Rule(layer + r"attn\.Wo\.weight", "out", 1, "columns"),
        Rule(layer + r"attn\.Wo\.bias", "bias", 1),
        *feed_forward_rules(layer + r"mlp\.", "Wi", "Wo"),
        norm_rule(layer + r"(attn|mlp)_norm"),
        norm_rule(base + r"final_norm", layers + 1),
    )
    return Schema(stacks_of(layers, "encoder"), heads, rules)


def vit_family(base: str, config: Any) -> Schema:
    """Schema of ViT: patches and the class token are embeddings, the pooler is output."""
    layers, heads = config.num_hidden_layers, config.num_attention_heads
    layer = base + r"layers\.(?P<layer>\d+)\."
    patches = base + r"embeddings\."
    names = ("q_proj", "k_proj", "v_proj", "o_proj")
    rules = (
        Rule(patches + r"(cls_token|mask_token)", "embedding", 0),
        Rule(patches + r"patch_embeddings\.projection\.weight", "embedding", 0),
        Rule(patches + r"patch_embeddings\.projection\.bias", "bias", 0),
        Rule(patches + r"position_embeddings", "position", 0),
        *attention_rules(layer + r"attention\.", names, heads),
        *feed_forward_rules(layer + r"mlp\.", "fc1", "fc2"),
        norm_rule(layer + r"layernorm_(before|after)"),
        norm_rule(base + r"layernorm", layers + 1),
        Rule(base + r"pooler\.dense\.weight", "output", layers + 1),
        Rule(base + r"pooler\.dense\.bias", "bias", layers + 1),
    )
    return Schema(stacks_of(layers, "encoder"), heads, rules)
