"""Schemas for common Transformers outside fairseq: parameter names to cube cells.

`prefix` is what stands before the names, such as "model." in a module that keeps the Transformer
as `self.model`.
"""

from __future__ import annotations

import re

from .recording.partition import Rule, Schema


def gpt2_schema(layers: int, heads: int, prefix: str = "") -> Schema:
    """Schema of Hugging Face's GPT2Model and GPT2LMHeadModel.

    Their Conv1D keeps weights as (inputs, outputs), transposed to a Linear. So query, key and value
    share the columns of `c_attn`, and a head owns rows of the output projection `c_proj`.

    Parameters
    ----------
    layers, heads : int
        `n_layer` and `n_head` of the configuration.
    prefix : str
    """
    model = re.escape(prefix) + r"(transformer\.)?"
    layer = model + r"h\.(?P<layer>\d+)\."
    end = layers + 1
    return Schema(
        stacks=("embedding", *["decoder"] * layers, "output"),
        heads=heads,
        rules=(
            Rule(model + r"wte\.weight", "embedding", 0),
            Rule(model + r"wpe\.weight", "position", 0),
            Rule(layer + r"attn\.c_attn\.weight", ("query", "key", "value"), 1, "columns"),
            Rule(layer + r"attn\.c_attn\.bias", ("bias",) * 3, 1, "rows"),
            Rule(layer + r"attn\.c_proj\.weight", "out", 1, "rows"),
            Rule(layer + r"mlp\.c_fc\.weight", "W1", 1),
            Rule(layer + r"mlp\.c_proj\.weight", "W2", 1),
            Rule(layer + r"(attn\.c_proj|mlp\.c_fc|mlp\.c_proj)\.bias", "bias", 1),
            Rule(layer + r"ln_[12]\.(weight|bias)", "norm", 1),
            Rule(model + r"ln_f\.(weight|bias)", "norm", end),
            Rule(re.escape(prefix) + r"lm_head\.weight", "output", end),
        ),
    )


def llama_schema(
    layers: int, heads: int, key_value_heads: int | None = None, prefix: str = ""
) -> Schema:
    """Schema of Hugging Face's Llama and of models with the same names, such as Mistral and Qwen.

    The gate of the feed-forward block counts to W1. Where several query heads share a key and
    value head, keys and values belong to no single head and stand under "none".

    Parameters
    ----------
    layers, heads : int
        `num_hidden_layers` and `num_attention_heads` of the configuration.
    key_value_heads : int, optional
        `num_key_value_heads`, if it is not `heads`.
    prefix : str
    """
    model = re.escape(prefix) + r"(model\.)?"
    layer = model + r"layers\.(?P<layer>\d+)\."
    shared = None if key_value_heads not in (None, heads) else "rows"
    end = layers + 1
    return Schema(
        stacks=("embedding", *["decoder"] * layers, "output"),
        heads=heads,
        rules=(
            Rule(model + r"embed_tokens\.weight", "embedding", 0),
            Rule(layer + r"self_attn\.q_proj\.weight", "query", 1, "rows"),
            Rule(layer + r"self_attn\.k_proj\.weight", "key", 1, shared),
            Rule(layer + r"self_attn\.v_proj\.weight", "value", 1, shared),
            Rule(layer + r"self_attn\.o_proj\.weight", "out", 1, "columns"),
            Rule(layer + r"self_attn\.q_proj\.bias", "bias", 1, "rows"),
            Rule(layer + r"self_attn\.[kv]_proj\.bias", "bias", 1, shared),
            Rule(layer + r"mlp\.(gate|up)_proj\.weight", "W1", 1),
            Rule(layer + r"mlp\.down_proj\.weight", "W2", 1),
            Rule(layer + r"(self_attn\.o|mlp\.(gate|up|down))_proj\.bias", "bias", 1),
            Rule(layer + r"(self_attn\.[qk]_norm|(\w+_)?layernorm)\.weight", "norm", 1),
            Rule(model + r"norm\.weight", "norm", end),
            Rule(re.escape(prefix) + r"lm_head\.weight", "output", end),
        ),
    )


def transformer_encoder_schema(
    layers: int,
    heads: int,
    encoder: str = "encoder",
    embedding: str = "embedding",
    position: str = "position",
    output: str = "output",
    causal: bool = False,
) -> Schema:
    """Schema of a model around torch.nn.TransformerEncoder.

    Parameters
    ----------
    layers, heads : int
        `num_layers` of the encoder and `nhead` of its layers.
    encoder : str
        Name of the encoder in the model; "" if it is the model itself.
    embedding, position, output : str
        Names of the modules (or bare parameters) that hold word embeddings, position embeddings
        and the matrix in front of the softmax. What the model does not have is never looked for;
        a matrix that the output shares with the embedding counts to the embedding.
    causal : bool
        Whether a mask makes it a language model: its layers are then called "dec.1" ...
    """
    stack = re.escape(f"{encoder}." if encoder else "")
    layer = stack + r"layers\.(?P<layer>\d+)\."
    end = layers + 1
    return Schema(
        stacks=("embedding", *["decoder" if causal else "encoder"] * layers, "output"),
        heads=heads,
        rules=(
            Rule(re.escape(embedding) + r"(\.weight)?", "embedding", 0),
            Rule(re.escape(position) + r"(\.weight)?", "position", 0),
            Rule(layer + r"self_attn\.in_proj_weight", ("query", "key", "value"), 1, "rows"),
            Rule(layer + r"self_attn\.in_proj_bias", ("bias",) * 3, 1, "rows"),
            Rule(layer + r"self_attn\.out_proj\.weight", "out", 1, "columns"),
            Rule(layer + r"linear1\.weight", "W1", 1),
            Rule(layer + r"linear2\.weight", "W2", 1),
            Rule(layer + r"(self_attn\.out_proj|linear[12])\.bias", "bias", 1),
            Rule(layer + r"norm[12]\.(weight|bias)", "norm", 1),
            Rule(stack + r"norm\.(weight|bias)", "norm", end),
            Rule(re.escape(output) + r"(\.weight)?", "output", end),
            Rule(re.escape(output) + r"\.bias", "bias", end),
        ),
    )
