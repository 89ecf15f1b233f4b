"""Machine translation: the target is predicted token by token, given the source (§2.2)."""

from __future__ import annotations

from losschange.plots.looks import Look

from .arguments import encoder_decoder, encoder_decoder_arguments, halves
from .objective import Languages, Objective, Quality, Training
from .schemas import translation_schema

# Tokens of a sentence on average; estimates of cost hardly depend on it.
SENTENCE_TOKENS = 32


def arguments(training: Training, languages: Languages) -> list[str]:
    """fairseq's `transformer` and the languages."""
    source, target = languages
    return ["--source-lang", source, "--target-lang", target, *encoder_decoder_arguments(training)]


def schema(model):
    """An encoder stack, then a decoder stack with cross-attention."""
    encoder, decoder = model.encoder.layers, model.decoder.layers
    shared = model.encoder.embed_tokens.weight is model.decoder.embed_tokens.weight
    heads = encoder[0].self_attn.num_heads
    return translation_schema(len(encoder), len(decoder), heads, own_embedding=not shared)


OBJECTIVE = Objective(
    name="mt",
    description="machine translation",
    look=Look("MT", "#009E73", "^", (0, (6, 1, 1.2, 1))),
    fairseq_task="translation",
    arguments=arguments,
    schema=schema,
    architecture=encoder_decoder,
    quality=Quality(
        "perplexity of the reference",
        "exp(loss) of the reference translation, token by token, each given the source and the "
        "reference before it",
    ),
    filled=0.72,  # measured in trainings of the presets demo (0.72) and sample (0.71)
    translates=True,
    mistakes=halves,
    sample_tokens=lambda training: SENTENCE_TOKENS,
)
