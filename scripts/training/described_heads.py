"""The heads of a trained model, described at every snapshot of its training."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import xarray as xr

from attention_heads.description import describe
from attention_heads.errors import HeadsError
from attention_heads.functions import GoldSentences
from attention_heads.relevance import conservation
from attention_heads.series import make_series
from common.files import UserError

from .gold_sentences import find_sentences, gold_groups, read_treebank
from .head_texts import frequency_ranks, validation_texts
from .loading import load_snapshot
from .trained_model import TrainedModelHandle


def describe_training(options: argparse.Namespace) -> xr.Dataset:
    """Describe the heads at the snapshots of one training; the options are of describe_heads.py.

    One model is in memory: the weights of each snapshot replace those of the one before. At the
    last snapshot, text is divided into groups of sentences, which intervals are resampled from.
    """
    settings, seed = options.settings, options.seed
    paths = _chosen(sorted(options.snapshots, key=lambda path: int(path.stem)), settings)
    handle = TrainedModelHandle(options.checkpoint, options.tokens, paths[-1])
    sides = _sides(handle)
    ranks = frequency_ranks(options.vocabulary, dict(zip(sides, options.training_text)))
    gold, reason = known_syntax(handle, options, sides)
    found = []
    for path in paths:
        update, last = load_snapshot(handle.module, path), path == paths[-1]
        texts = validation_texts(
            handle,
            settings,
            options.positions,
            seed,
            ranks,
            settings["groups"] if last else 1,
            gold if last else _joined(gold),
        )
        ends = last or path == paths[0]
        found.append(
            describe(
                handle,
                texts,
                seed,
                ablation=ends or settings["ablation_snapshots"] == "all",
                alpha_beta=last and _has_parts(handle),
                copies=settings["copies"],
            )
        )
        print(f"{options.model}: described after {update} updates", file=sys.stderr)
    shapes = {name: (each.layers, each.heads) for name, each in handle.attentions.items()}
    missing = "; ".join(
        f"{name}, {relation} {direction}: {result.reason}"
        for name, results in found[-1].syntax.items()
        for (relation, direction), result in results.items()
        if result.reason
    )
    attributes = {
        "model": options.model,
        "no_syntax": reason,
        "no_relation": missing,
        # Share of the logits that stays in biases and does not reach the input of the first layer.
        "bias_share": float(conservation(handle, texts.predicted[0], seed).bias_share[0]),
    }
    return make_series([int(path.stem) for path in paths], shapes, found, attributes)


def _chosen(paths: Sequence[Path], settings: Mapping[str, Any]) -> list[Path]:
    """At most `snapshots` of the paths, evenly spaced, the first and the last among them."""
    number = min(settings["snapshots"], len(paths))
    if number == 1:
        return [paths[-1]]
    return [paths[round(n * (len(paths) - 1) / (number - 1))] for n in range(number)]


def _sides(handle: TrainedModelHandle) -> list[str]:
    """The sides of a model that have text: both of a translation model, one otherwise."""
    keys = {about.key for about in handle.attentions.values()}
    return [side for side in ("source", "target") if side in keys]


def known_syntax(
    handle: TrainedModelHandle, options: argparse.Namespace, sides: Sequence[str]
) -> tuple[list[GoldSentences], str]:
    """Groups of sentences with known syntax, and the reason if there are none.

    Parameters
    ----------
    handle : TrainedModelHandle
    options : argparse.Namespace
        Of describe_heads.py.
    sides : sequence of "source" and "target"
        In the order of the files of the options.
    """
    settings = options.settings
    if not any(options.relations):
        return [], "there is no treebank of the language (treebanks in config.yaml)"
    try:
        if options.valid_text:
            known = {
                side: find_sentences(text, files)
                for side, text, files in zip(sides, options.valid_text, options.relations)
            }
        else:
            # Sentences of treebanks have no translations, so only the first side reads them.
            known = {sides[0]: read_treebank(options.relations[0][0], options.training_text[0])}
        groups = gold_groups(
            handle,
            options.vocabulary,
            known,
            settings["treebank_sentences"],
            settings["groups"],
            settings["max_tokens"],
            options.positions,
        )
    except (HeadsError, UserError) as error:
        print(f"{options.model}: no syntactic heads: {error}", file=sys.stderr)
        return [], str(error)
    return groups, ""


def _joined(groups: Sequence[GoldSentences]) -> list[GoldSentences]:
    """All groups as one."""
    if not groups:
        return []
    parts = [
        [each for group in groups for each in getattr(group, name)]
        for name in ("batches", "words", "sentences")
    ]
    return [GoldSentences(*parts)]


@torch.no_grad()
def _has_parts(handle: TrainedModelHandle) -> bool:
    """Whether the logits are a linear map of the last states, as the alpha-beta rule needs."""
    try:
        handle.finish_parts()
    except UserError:
        return False
    return True
