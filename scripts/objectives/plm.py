"""Prefix language model: the rest of a text is predicted from its beginning, the prefix.

The prefix corresponds to the source of a translation and the rest to its target, but both are in
one text and one stack of layers: the prefix attends to itself in both directions, as in an encoder,
the rest from left to right.
"""

from __future__ import annotations

from dataclasses import replace

from losschange.plots.looks import Look

from . import clm
from .arguments import decoder_arguments
from .objective import Architecture, Languages, Objective, Quality, Training


def arguments(training: Training, languages: Languages) -> list[str]:
    """The causal model's arguments, with the plug-in's `prefix_lm` as architecture."""
    found = decoder_arguments("prefix_lm", training)
    if training["prefix_share"] is not None:
        found += ["--prefix-share", str(training["prefix_share"])]
    return found


def architecture(training: Training) -> Architecture:
    """The causal model's; the tokens of the prefix are not predicted."""
    share = training["prefix_share"]
    # A prefix whose length is drawn uniformly is half of a sample on average.
    predicted = 0.5 if share is None else 1 - share
    return replace(clm.architecture(training), predicted_share=predicted)


OBJECTIVE = Objective(
    name="plm",
    description="prefix language model",
    look=Look("PLM", "#CC79A7", "v", (0, (2, 1))),
    fairseq_task="prefix_language_modeling",  # the plug-in's, since fairseq has none
    arguments=arguments,
    schema=clm.schema,
    architecture=architecture,
    quality=Quality(
        "perplexity after the prefix",
        "exp(loss) of the text after the prefix, token by token, each given the prefix and the "
        "tokens before it",
    ),
    own_settings=("prefix_share",),
)
