"""The trainings with frozen cells, and the states of their parents that they start from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from running.models import parse_model
from running.variants import Variant

from .settings import Intervention

if TYPE_CHECKING:
    from running.configuration import Configuration

# Of the children.
RECORDING: dict[str, dict] = {"estimators": {}, "texts": {}, "details": {}}


def children(configuration: Configuration) -> Iterator[tuple[str, str, Intervention, int]]:
    """(parent, child's name, intervention, updates before it) of every child."""
    for parent, interventions in configuration.interventions.root.items():
        updates = configuration.training_of(parse_model(parent)).total_updates
        for name, one in interventions.items():
            for child in one.children(name):
                yield parent, child, one, one.first_frozen(updates)


def variants(configuration: Configuration) -> list[Variant]:
    """One per intervention, and per draw of a random one.

    Each records `batch` alone: costs are measured at the end, from checkpoints, and with less to
    record a training takes less time to the same parameters.
    """
    folder = f"results/{configuration.run}"
    found = []
    for parent, child, _, start in children(configuration):
        files = {"frozen_cells": f"{folder}/interventions/{parent}.{child}{{seed}}.json"}
        starts = bool(start) and _is_kept(configuration, parent, start)
        if starts:
            model = f"{folder}/models/{parent}{{seed}}"
            files |= {
                "resume_point": f"{model}/resume_points/{start}.pt",
                "parent_cube": f"{folder}/cubes/{parent}{{seed}}.nc",
                "parent_history": f"{model}/training.csv",
            }
        made = start if starts else 0
        found.append(Variant(parent, child, {}, RECORDING, files, None, made))
    return found


def resume_points(configuration: Configuration) -> dict[str, list[int]]:
    """The updates from which children start, by parent."""
    found: dict[str, list[int]] = {}
    for parent, _, one, start in children(configuration):
        if start and (one.from_share or 0) < 1 and _is_kept(configuration, parent, start):
            found.setdefault(parent, []).append(start)
    return found


def _is_kept(configuration: Configuration, parent: str, update: int) -> bool:
    """Whether the parent's trainings have kept their state after an update, or are still to.

    A training that ended without keeping it is not repeated for its children: they train from the
    start, to the same bits.
    """
    seeds = list(dict.fromkeys(configuration.seeds))
    suffixes = ["", *(f".seed{seed}" for seed in seeds[1:])]
    models = [Path(f"results/{configuration.run}/models/{parent}{suffix}") for suffix in suffixes]
    return all(
        (model / f"resume_points/{update}.pt").exists() or not (model / "checkpoint.pt").exists()
        for model in models
    )
