"""Denoising: a text is predicted token by token, given the same text with noise (BART).

The input is corrupted as for a masked language model, and the architecture is that of translation:
the encoder reads the whole corrupted text, the decoder predicts the original.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from losschange.plots.looks import Look

from . import mt
from .arguments import LONGEST_SAMPLE, encoder_decoder, encoder_decoder_arguments, halves
from .objective import Architecture, Languages, Objective, Quality, Training


def arguments(training: Training, languages: Languages) -> list[str]:
    """fairseq's `transformer`, as for translation; text infilling and permuted sentences.

    Samples are whole sentences, as many as `tokens_per_sample` hold (Lewis et al. 2020, §2.2).
    """
    return [
        *encoder_decoder_arguments(training),
        *("--tokens-per-sample", str(training["tokens_per_sample"])),
        *("--sample-break-mode", "complete"),
        *("--mask", str(training["infilling_share"])),
        *("--mask-length", "span-poisson"),
        *("--poisson-lambda", str(training["infilling_span"])),
        *("--replace-length", "1"),
        *("--permute-sentences", str(int(training["permuted_sentences"]))),
        *("--rotate", "0.0"),
    ]


def architecture(training: Training) -> Architecture:
    """The architecture of translation, with one more symbol for the mask."""
    return replace(encoder_decoder(training), special_symbols=1)


def mistakes(training: Training) -> Iterator[str]:
    """An odd number of layers, or samples that are longer than fairseq's positions."""
    yield from halves(training)
    if training["tokens_per_sample"] > LONGEST_SAMPLE:
        yield (
            f"tokens_per_sample {training['tokens_per_sample']} is above {LONGEST_SAMPLE}, the "
            "longest sample that fairseq's denoising takes"
        )


OBJECTIVE = Objective(
    name="dae",
    description="denoising sequence-to-sequence model",
    look=Look("DAE", "#E69F00", "D", (0, (1, 1))),
    # The plug-in's version of fairseq's `denoising`, whose noise can be repeated.
    fairseq_task="seeded_denoising",
    arguments=arguments,
    schema=mt.schema,
    architecture=architecture,
    quality=Quality(
        "perplexity of the original",
        "exp(loss) of the original text, token by token, each given the corrupted text and the "
        "original before it",
    ),
    filled=0.85,  # measured in trainings of the presets demo (0.94) and sample (about 0.75)
    sees_future=True,
    own_settings=("infilling_share", "infilling_span", "permuted_sentences"),
    mistakes=mistakes,
)
