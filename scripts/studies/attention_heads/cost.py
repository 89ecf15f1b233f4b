"""What the study costs in passes through the models, before anything starts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from objectives import OBJECTIVES
from running.models import Model

from .inputs import arms

# Forward passes over the sentences at a snapshot: confidence, positions, rare tokens.
READING_PASSES = 3
# Forward and backward passes over the sentences: relevance, importance.
BACKWARD_PASSES = 2
# The alpha-beta rule, at the last snapshot of models with a decoder: the plain pass and one in
# rules, and one backward.
RULE_FORWARD, RULE_BACKWARD = 2, 1


@dataclass(frozen=True)
class Passes:
    """Passes of one model, each over all sentences, or over one batch where pruned.

    Attributes
    ----------
    forward, backward : float
        Passes over the sentences; a pass that is resumed at a layer counts as its share of layers.
    ablation, naive : float
        Of the forward passes, those that close heads; and what a loop over whole passes would need.
    syntax : int
        Forward passes over the sentences whose syntax is known.
    updates : int
        Forward and backward passes over a training batch, in all arms of pruning.
    translations : int
        Beam searches over the test sentences.
    """

    forward: float
    backward: int
    ablation: float
    naive: int
    syntax: int
    updates: int
    translations: int


def passes_of(configuration: Any, model: Model) -> Passes:
    """The passes through one training of a model."""
    settings, training = configuration.attention_heads, configuration.training_of(model)
    shape = OBJECTIVES[model.objective].architecture(training.model_dump())
    lower, upper = shape.encoder_layers, shape.decoder_layers
    stages, heads = lower + upper, training.attention_heads
    # A decoder's layer has cross-attention beside its own if there is an encoder.
    of_stage = [heads] * lower + [heads * (2 if lower else 1)] * upper
    snapshots = min(settings.snapshots, len(configuration.snapshots_of(model)))
    ends = snapshots if settings.ablation_snapshots == "all" else min(2, snapshots)
    resumed = sum(number * (stages - first) for first, number in enumerate(of_stage)) / stages
    ablation = ends * (1 + resumed)
    number = len(arms(configuration, model))
    known = configuration.is_generated(model.corpus) or configuration.treebanks_of(model)
    by_rule = 1 if upper else 0
    return Passes(
        # Scores of the pruned models, of the unpruned one, and of two with all heads closed.
        forward=snapshots * (READING_PASSES + BACKWARD_PASSES)
        + RULE_FORWARD * by_rule
        + ablation
        + number
        + 3,
        backward=snapshots * BACKWARD_PASSES + RULE_BACKWARD * by_rule,
        ablation=ablation,
        naive=ends * (1 + sum(of_stage)),
        syntax=snapshots if known else 0,
        updates=number * settings.pruning_updates,
        translations=number + 1 if model.translates else 0,
    )


def cost_lines(configuration: Any) -> Iterator[str]:
    """Lines for the table of costs, one per main model."""
    settings = configuration.attention_heads
    yield (
        "The study attention_heads, per training, beside the times above. A pass is one over "
        f"{settings.sentences:,} sentences of the validation text; an update of pruning has "
        f"{settings.pruning_tokens:,} tokens:"
    )
    for model in configuration.trained_models():
        if model.name not in configuration.main_models.values():
            continue
        found = passes_of(configuration, model)
        line = (
            f"  {model.name}: {found.forward:,.0f} forward passes ({found.ablation:,.0f} of them "
            f"for models with one head closed), {found.backward} backward passes; "
            f"{found.updates:,} updates of pruning"
        )
        if found.syntax:
            line += (
                f"; {found.syntax} forward passes over at most {settings.treebank_sentences:,} "
                "sentences with known syntax"
            )
        if found.translations:
            line += f"; {found.translations} translations of the test sentences"
        yield line
