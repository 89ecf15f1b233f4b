"""Masked language model: a share of the tokens is predicted from all the others (§2.2)."""

from __future__ import annotations

from collections.abc import Iterator

from losschange.plots.looks import Look

from .arguments import stack_arguments, tying
from .objective import Architecture, Languages, Objective, Quality, Training
from .schemas import masked_lm_schema


def arguments(training: Training, languages: Languages) -> list[str]:
    """fairseq's `roberta`."""
    found = [
        *("--arch", "roberta_base"),
        *("--criterion", "chunked_masked_lm" if training["fast_cross_entropy"] else "masked_lm"),
        *("--tokens-per-sample", str(training["tokens_per_sample"])),
        *("--mask-prob", str(training["mask_probability"])),
        *("--leave-unmasked-prob", str(training["leave_unmasked_probability"])),
        *("--random-token-prob", str(training["random_token_probability"])),
        *stack_arguments("encoder", training["layers"], training),
    ]
    if tying(training) == "none":
        found.append("--untie-weights-roberta")
    if training["norm"] == "pre":
        found.append("--encoder-normalize-before")
    return found


def schema(model):
    """One encoder stack, learned positions, and a head for masked tokens."""
    layers = model.encoder.sentence_encoder.layers
    return masked_lm_schema(len(layers), layers[0].self_attn.num_heads)


def architecture(training: Training) -> Architecture:
    """RoBERTa: learned positions, a dense layer before the softmax, a symbol for the mask."""
    return Architecture(
        encoder_layers=training["layers"],
        decoder_layers=0,
        embedding_matrices=2 if tying(training) == "none" else 1,
        positions=(training["tokens_per_sample"],),
        dense_head=True,
        special_symbols=1,
        predicted_share=training["mask_probability"],
    )


def mistakes(training: Training) -> Iterator[str]:
    """Shares of the masked tokens that add up to more than all of them."""
    left = training["leave_unmasked_probability"]
    random = training["random_token_probability"]
    if left + random > 1:
        yield (
            f"leave_unmasked_probability {left:g} and random_token_probability {random:g} are "
            "shares of the same tokens, but their sum is above 1"
        )


OBJECTIVE = Objective(
    name="mlm",
    description="masked language model",
    look=Look("MLM", "#D55E00", "s", (0, (4, 1))),
    fairseq_task="masked_lm",
    arguments=arguments,
    schema=schema,
    architecture=architecture,
    quality=Quality(
        "masked-token loss",
        "nats per selected token, each given the rest of its text; no perplexity, since no text "
        "is predicted as a whole",
        is_perplexity=False,
        beats_copying=True,
    ),
    sees_future=True,
    own_settings=(
        "mask_probability",
        "leave_unmasked_probability",
        "random_token_probability",
        "fast_masking",
    ),
    mistakes=mistakes,
)
