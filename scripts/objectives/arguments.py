"""Arguments of fairseq-train that several objectives share."""

from __future__ import annotations

from collections.abc import Iterator

from .objective import Architecture, Training

# Tokens of the longest source or target that fairseq's two-stack tasks take.
LONGEST_SAMPLE = 1024
# Options with which the token embeddings are computed as in fairseq's roberta.
ROBERTA_EMBEDDINGS = ("--layernorm-embedding", "--no-scale-embedding")
# fairseq's arguments for two stacks, and the number of embedding matrices, by how they are tied.
SHARED = {
    "none": [],
    "decoder": ["--share-decoder-input-output-embed"],
    "all": ["--share-all-embeddings"],
}
MATRICES = {"none": 3, "decoder": 2, "all": 1}


def stack_arguments(side: str, layers: int, training: Training) -> list[str]:
    """Size of a stack of layers; `side` is "encoder" or "decoder"."""
    return [
        *(f"--{side}-layers", str(layers)),
        *(f"--{side}-attention-heads", str(training["attention_heads"])),
        *(f"--{side}-embed-dim", str(training["embedding_dimension"])),
        *(f"--{side}-ffn-embed-dim", str(training["feed_forward_dimension"])),
    ]


def decoder_arguments(arch: str, training: Training) -> list[str]:
    """A language model that is one decoder stack; `arch` is fairseq's name of its architecture."""
    found = [
        *("--arch", arch),
        *cross_entropy_arguments(training),
        *("--tokens-per-sample", str(training["tokens_per_sample"])),
        *stack_arguments("decoder", training["layers"], training),
        *("--decoder-input-dim", str(training["embedding_dimension"])),
        *("--decoder-output-dim", str(training["embedding_dimension"])),
    ]
    if tying(training) != "none":
        found.append("--share-decoder-input-output-embed")
    if training["embedding_layer"] == "roberta":
        found += ["--decoder-learned-pos", *ROBERTA_EMBEDDINGS]
    # fairseq does not apply its pre-norm defaults for language models to the plain transformer_lm.
    if training["norm"] == "pre":
        found.append("--decoder-normalize-before")
    return found


def encoder_decoder_arguments(training: Training) -> list[str]:
    """fairseq's `transformer`, half of the layers in the encoder, half in the decoder."""
    half = training["layers"] // 2
    found = [
        *("--arch", "transformer"),
        *cross_entropy_arguments(training),
        *stack_arguments("encoder", half, training),
        *stack_arguments("decoder", half, training),
    ]
    found += SHARED[tying(training)]
    if training["embedding_layer"] == "roberta":
        found += ["--encoder-learned-pos", "--decoder-learned-pos", *ROBERTA_EMBEDDINGS]
    if training["norm"] == "pre":
        found += ["--encoder-normalize-before", "--decoder-normalize-before"]
    return found


def encoder_decoder(training: Training) -> Architecture:
    """Two stacks; source, target and output share one matrix where embeddings are tied."""
    learned = training["embedding_layer"] == "roberta"
    return Architecture(
        encoder_layers=training["layers"] // 2,
        decoder_layers=training["layers"] // 2,
        embedding_matrices=MATRICES[tying(training)],
        positions=(LONGEST_SAMPLE, LONGEST_SAMPLE) if learned else (),
    )


def halves(training: Training) -> Iterator[str]:
    """The mistake that a number of layers cannot be divided between two stacks."""
    if training["layers"] % 2:
        yield (
            f"layers {training['layers']} is odd; a model with an encoder and a decoder has half "
            "of them in each"
        )


def tying(training: Training) -> str:
    """Which embedding matrices are tied: "none", "decoder" (target and output) or "all".

    The configuration may also give true for "all" and false for "none".
    """
    value = training["tied_embeddings"]
    return {True: "all", False: "none"}.get(value, str(value))


def cross_entropy_arguments(training: Training) -> list[str]:
    """Cross-entropy of every target token, smoothed or not, in chunks or at once."""
    if training["label_smoothing"]:
        smoothing = str(training["label_smoothing"])
        return ["--criterion", "label_smoothed_cross_entropy", "--label-smoothing", smoothing]
    chunked = training["fast_cross_entropy"]
    return ["--criterion", "chunked_cross_entropy" if chunked else "cross_entropy"]
