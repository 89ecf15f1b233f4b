"""Arguments of fairseq-train that several objectives share."""

from __future__ import annotations

from .objective import Training

# What fairseq's roberta always does with its token vectors.
ROBERTA_EMBEDDINGS = ("--layernorm-embedding", "--no-scale-embedding")


def stack_arguments(side: str, layers: int, training: Training) -> list[str]:
    """Size of a stack of layers; `side` is "encoder" or "decoder"."""
    return [
        *(f"--{side}-layers", str(layers)),
        *(f"--{side}-attention-heads", str(training["attention_heads"])),
        *(f"--{side}-embed-dim", str(training["embedding_dimension"])),
        *(f"--{side}-ffn-embed-dim", str(training["feed_forward_dimension"])),
    ]


def tying(training: Training) -> str:
    """Which embedding matrices are one: "none", "decoder" (target and output) or "all".

    true and false, the values of configurations that know no third way, are "all" and "none".
    """
    return {True: "all", False: "none"}.get(
        training["tied_embeddings"], training["tied_embeddings"]
    )


def cross_entropy_arguments(training: Training) -> list[str]:
    """Cross-entropy of every target token, smoothed or not, in chunks or at once."""
    if training["label_smoothing"]:
        smoothing = str(training["label_smoothing"])
        return ["--criterion", "label_smoothed_cross_entropy", "--label-smoothing", smoothing]
    chunked = training["fast_cross_entropy"]
    return ["--criterion", "chunked_cross_entropy" if chunked else "cross_entropy"]
