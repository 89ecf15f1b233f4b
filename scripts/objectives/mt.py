"""Machine translation: the target is predicted token by token, given the source (§2.2)."""

from __future__ import annotations

from losschange.plots.looks import Look

from .arguments import ROBERTA_EMBEDDINGS, cross_entropy_arguments, stack_arguments, tying
from .objective import Architecture, Languages, Objective, Quality, Training

# Longest sentence of fairseq's translation task, where positions are learned.
LONGEST_SENTENCE = 1024
# fairseq's arguments by which matrices are one.
SHARED = {
    "none": [],
    "decoder": ["--share-decoder-input-output-embed"],
    "all": ["--share-all-embeddings"],
}
MATRICES = {"none": 3, "decoder": 2, "all": 1}
# Tokens of a sentence on average; estimates of cost hardly depend on it.
SENTENCE_TOKENS = 32


def arguments(training: Training, languages: Languages) -> list[str]:
    """fairseq's `transformer`, half of the layers on each side."""
    source, target = languages
    half = training["layers"] // 2
    found = [
        *("--arch", "transformer"),
        *("--source-lang", source, "--target-lang", target),
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


def schema(model):
    """An encoder stack, then a decoder stack with cross-attention."""
    from losschange_fairseq.schemas import translation_schema

    encoder, decoder = model.encoder.layers, model.decoder.layers
    shared = model.encoder.embed_tokens.weight is model.decoder.embed_tokens.weight
    heads = encoder[0].self_attn.num_heads
    return translation_schema(len(encoder), len(decoder), heads, own_embedding=not shared)


def architecture(training: Training) -> Architecture:
    """Two stacks; source, target and output share one matrix where embeddings are tied."""
    learned = training["embedding_layer"] == "roberta"
    return Architecture(
        encoder_layers=training["layers"] // 2,
        decoder_layers=training["layers"] // 2,
        embedding_matrices=MATRICES[tying(training)],
        positions=(LONGEST_SENTENCE, LONGEST_SENTENCE) if learned else (),
    )


OBJECTIVE = Objective(
    name="mt",
    description="machine translation",
    look=Look("MT", "#009E73", "^", (0, (6, 1, 1.2, 1))),
    fairseq_task="translation",
    arguments=arguments,
    schema=schema,
    architecture=architecture,
    quality=Quality(
        "perplexity of the reference",
        "exp(loss) of the reference translation, token by token, each given the source and the "
        "reference before it",
    ),
    filled=0.72,  # measured in trainings of the presets demo (0.72) and sample (0.71)
    translates=True,
    sample_tokens=lambda training: SENTENCE_TOKENS,
)
