"""Prune the heads of a trained model and score it, once for each arm.

The control arm trains the gates without a price; each other arm has a price per open head.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from torch import nn

from attention_heads.errors import HeadsError
from attention_heads.gates import Pruning, prices, train_gates
from attention_heads.passes import open_gates
from attention_heads.storage import open_heads, write_gates
from common.files import replace_when_complete

from .head_scores import Translated, score
from .head_texts import training_batches
from .loading import restore_weights
from .trained_model import TrainedModelHandle

# Prices (nats per target token and head) if no head lowers the loss, so that the worth of heads
# gives no price. The arms are still made, because the workflow expects their files.
LOWEST_PRICE, HIGHEST_PRICE = 1e-4, 1e-2


@dataclass(frozen=True)
class Arm:
    """One pruning.

    Parameters
    ----------
    name : str
        "control", "price1" ...; with "encoder-" before it if only the encoder is pruned.
    attentions : tuple of str
        Attention types that are gated.
    price : float
    """

    name: str
    attentions: tuple[str, ...]
    price: float


def prune_training(options: argparse.Namespace) -> None:
    """Prune one training in all arms; the options are those of prune_heads.py.

    Every arm starts from the checkpoint and reads the same batches. One model is in memory.
    """
    heads = open_heads(options.heads)
    handle = TrainedModelHandle(options.checkpoint, options.tokens)
    translated = translation_of(options)
    batches = _scored_batches(handle, options)
    before = score(handle, batches, None, translated)
    closed = _closed_losses(handle, batches)
    for arm, reason in _arms(heads, options.settings["prices"]):
        restore_weights(handle.module, options.checkpoint)
        pruning = _prune(handle, arm, options)
        after = score(handle, batches, pruning.hard_gates(handle), translated)
        kept = sum(int(each.sum()) for each in pruning.kept.values())
        attributes = {
            "model": options.model,
            "arm": arm.name,
            "no_price": reason,
            "kept_heads": kept,
            "gated_heads": sum(each.size for each in pruning.kept.values()),
            **after.attributes,
            **{f"unpruned_{name}": each for name, each in before.attributes.items()},
        }
        variables = after.variables()
        variables["unpruned_sentence_loss"] = ("sentence", before.losses.astype(np.float32))
        variables["closed_sentence_loss"] = (
            "sentence",
            closed["encoder" if arm.name.startswith("encoder-") else "all"],
        )
        write_gates(_path(options, arm.name), pruning, attributes, variables)
        print(f"{options.model}: {arm.name} keeps {kept} heads", file=sys.stderr)
    _write_mask(options)


def translation_of(options: argparse.Namespace) -> Translated | None:
    """The sentences to translate; None for a language model."""
    if options.translate is None:
        return None
    split, reference = options.translate
    evaluation = options.evaluation
    return Translated(
        split,
        Path(reference),
        options.vocabulary,
        options.language,
        options.settings["translated_sentences"],
        evaluation["beam"],
        evaluation["length_penalty"],
        evaluation["max_tokens"],
        options.seed,
    )


def _scored_batches(handle: TrainedModelHandle, options: argparse.Namespace) -> list:
    settings = options.settings
    return list(
        handle.sentences(
            "valid",
            settings["max_tokens"],
            options.positions,
            options.seed,
            handle.numbers("valid", settings["sentences"]),
        )
    )


def _arms(heads: xr.Dataset, number: int) -> Iterator[tuple[Arm, str]]:
    """All arms, each with the reason why no price follows from the worth of heads, or ""."""
    last = heads["ablation"].isel(snapshot=-1)
    names = tuple(str(name) for name in heads["attention"].values)
    groups = {"": names} | ({"encoder-": ("encoder",)} if len(names) > 1 else {})
    for prefix, chosen in groups.items():
        rises = [last.sel(attention=name).values for name in chosen]
        reason = ""
        try:
            found = prices([each[~np.isnan(each)] for each in rises], number)
        except HeadsError as error:
            reason = str(error)
            found = np.geomspace(LOWEST_PRICE, HIGHEST_PRICE, number)
        yield Arm(f"{prefix}control", chosen, 0.0), reason
        for place, price in enumerate(found, 1):
            yield Arm(f"{prefix}price{place}", chosen, float(price)), reason


def _prune(handle: TrainedModelHandle, arm: Arm, options: argparse.Namespace) -> Pruning:
    settings, positions = options.settings, options.positions
    batches = training_batches(
        handle,
        settings["pruning_tokens"],
        positions,
        options.seed,
        # Enough for all updates: a sentence has at least two tokens.
        settings["pruning_updates"] * settings["pruning_tokens"] // 2,
    )
    handle.module.train()
    try:
        return train_gates(
            handle,
            batches,
            arm.price,
            settings["pruning_updates"],
            options.seed,
            arm.attentions,
            _learning(handle, arm.attentions),
            settings["gate_learning_rate"],
            settings["model_learning_rate_share"] * float(handle.cfg.optimization.lr[0]),
        )
    finally:
        handle.module.eval()


def _learning(handle: TrainedModelHandle, attentions: Sequence[str]) -> list[nn.Parameter]:
    """The parameters that are trained with the gates: all, or the encoder's if it alone is gated.

    Parameters that the encoder shares with the decoder are then left out.
    """
    if len(attentions) == len(handle.attentions):
        return list(handle.module.parameters())
    frozen = {id(each) for each in handle.stacks["decoder"].parameters()}
    encoder = handle.stacks["encoder"].parameters()
    return [each for each in encoder if id(each) not in frozen]


def _closed_losses(handle: TrainedModelHandle, batches: list) -> dict[str, np.ndarray]:
    """Loss of every sentence with all heads closed, and with all heads of the encoder closed."""
    found = {}
    for name in ("all", "encoder"):
        gates = {
            attention: torch.zeros_like(each)
            for attention, each in open_gates(handle).items()
            if name in ("all", attention)
        }
        found[name] = score(handle, batches, gates).losses.astype(np.float32)
    return found


def _write_mask(options: argparse.Namespace) -> None:
    """Write the heads that one arm keeps, for a training from scratch with the others closed.

    The arm is the one whose share of kept heads is closest to one half.
    """
    arms = [f"price{number}" for number in range(1, options.settings["prices"] + 1)]
    shares = {}
    for arm in arms:
        with xr.open_dataset(_path(options, arm)) as gates:
            shares[arm] = gates.attrs["kept_heads"] / gates.attrs["gated_heads"]
    chosen = min(arms, key=lambda arm: abs(shares[arm] - 0.5))
    with xr.open_dataset(_path(options, chosen)) as gates:
        kept = gates["kept"]
        mask = {
            str(name): kept.sel(attention=name).dropna("layer").values.astype(int).tolist()
            for name in kept["attention"].values
        }
    record = {"arm": chosen, "share_kept": shares[chosen], "mask": mask}
    with replace_when_complete(options.mask) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _path(options: argparse.Namespace, arm: str) -> Path:
    return Path(options.output_folder) / f"{options.model}.{arm}.nc"


def score_training(options: argparse.Namespace) -> None:
    """Score a finished training without pruning it, such as one trained with closed heads."""
    handle = TrainedModelHandle(options.checkpoint, options.tokens)
    found = score(handle, _scored_batches(handle, options), None, translation_of(options))
    dataset = xr.Dataset(found.variables(), attrs={"model": options.model, **found.attributes})
    with replace_when_complete(options.score_only) as temporary:
        dataset.to_netcdf(temporary)
