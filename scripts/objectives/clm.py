"""Causal language model: every token is predicted from those before it (§2.2)."""

from __future__ import annotations

from losschange.plots.looks import Look

from .arguments import decoder_arguments, tying
from .objective import Architecture, Languages, Objective, Quality, Training
from .schemas import causal_lm_schema


def arguments(training: Training, languages: Languages) -> list[str]:
    """fairseq's `transformer_lm`."""
    return decoder_arguments("transformer_lm", training)


def schema(model):
    """One decoder stack without cross-attention."""
    layers = model.decoder.layers
    return causal_lm_schema(len(layers), layers[0].self_attn.num_heads)


def architecture(training: Training) -> Architecture:
    """One decoder stack; positions are sinusoidal, or learned with RoBERTa's embedding layer."""
    learned = training["embedding_layer"] == "roberta"
    return Architecture(
        encoder_layers=0,
        decoder_layers=training["layers"],
        embedding_matrices=2 if tying(training) == "none" else 1,
        positions=(training["tokens_per_sample"],) if learned else (),
    )


OBJECTIVE = Objective(
    name="clm",
    description="causal language model",
    look=Look("CLM", "#0072B2", "o", "-"),
    fairseq_task="language_modeling",
    arguments=arguments,
    schema=schema,
    architecture=architecture,
    quality=Quality(
        "perplexity", "exp(loss) of the text, token by token, each given those before it"
    ),
)
