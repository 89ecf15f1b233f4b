"""Schema of models around torch.nn.TransformerEncoder, from the names of their modules."""

from __future__ import annotations

import re

from losschange.recording.partition import Rule, Schema


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
