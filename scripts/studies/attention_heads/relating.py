"""Does the LCA of heads agree with their confidence, relevance, importance, ablation, survival?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import xarray as xr

from attention_heads.errors import HeadsError
from attention_heads.lca import COMPONENTS, lca_blocks
from attention_heads.quantities import Blocks, Fixed
from attention_heads.rank_statistics import holm, within_layer_spearman
from attention_heads.relations import (
    Agreement,
    rank_agreement,
    rank_agreements,
    survival_agreement,
)

from .evidence import MEASURES, Training

ALL = "all"
SNAPSHOTS = {"first": 0, "last": -1}
FAMILY = "the tests of one attention type of one model at one snapshot"
SURVIVAL = "survival"


def relate(
    training: Training, cube: xr.Dataset, estimator: str, draws: int, seed: int
) -> dict[str, Any]:
    """All comparisons of one training.

    Parameters
    ----------
    training : Training
    cube : Dataset
        An open cube.
    estimator : str
        The estimator whose components are also compared one by one, and given the weights' norm.
    draws : int
        Permutations of heads within layers.
    seed : int

    Returns
    -------
    dict
        "tests" and "partial" (lists of records), "lca" and "over_training" by attention, "rules":
        the rank correlation within layers of relevance by its two rules, and "missing": why an
        estimator cannot be compared.
    """
    found: dict[str, Any] = {
        "tests": [],
        "partial": [],
        "lca": {},
        "over_training": {},
        "rules": _rules(training),
    }
    missing = found["missing"] = {}
    for attention in training.attentions:
        contributions = _contributions(cube, attention, estimator, missing)
        if not contributions:
            continue
        main = contributions.get((estimator, ALL), next(iter(contributions.values())))
        found["lca"][attention] = main.value.tolist()
        found["over_training"][attention] = _over_training(training, cube, attention, estimator)
        for snapshot, place in SNAPSHOTS.items():
            found["tests"] += _family(
                training, attention, snapshot, place, contributions, draws, seed
            )
        norms = Fixed(training.array("weight_norm", attention))
        for measure in MEASURES:
            y = training.quantity(measure, attention)
            agreement = rank_agreement(main, y, seed, norms, draws)
            found["partial"].append(_record(training, attention, "last", measure, agreement))
    return found


def _rules(training: Training) -> dict[str, float | None]:
    """Rank correlation of relevance with that by the alpha-beta rule, by attention."""
    if "alpha_beta_relevance" not in training.heads:
        return {}
    return {
        name: _number(
            float(
                within_layer_spearman(
                    *(training.array(f"{rule}relevance", name) for rule in ("", "alpha_beta_"))
                )
            )
        )
        for name in training.attentions
    }


def _contributions(
    cube: xr.Dataset, attention: str, estimator: str, missing: dict[str, str]
) -> dict[tuple[str, str], Blocks]:
    """Minus LCA by estimator and component; of one estimator each component alone, too."""
    found = {}
    for name, variable in _variables(cube).items():
        parts = {ALL: COMPONENTS} | (
            {component: (component,) for component in COMPONENTS} if name == estimator else {}
        )
        for part, components in parts.items():
            try:
                found[name, part] = lca_blocks(cube, attention, variable, components)
            except HeadsError as error:
                missing[f"{name}, {attention}"] = str(error)
    return found


def _variables(cube: xr.Dataset) -> dict[str, str]:
    """Variables of a cube that hold the LCA of every head, by estimator."""
    names = str(cube.attrs.get("estimators", "batch")).split(", ")
    variables = {name: "lca" if name == "batch" else f"lca_{name}" for name in names}
    return {name: variable for name, variable in variables.items() if variable in cube}


def _family(
    training: Training,
    attention: str,
    snapshot: str,
    place: int,
    contributions: Mapping[tuple[str, str], Blocks],
    draws: int,
    seed: int,
) -> list[dict[str, Any]]:
    """The tests of one attention type at one snapshot, with p values for their number."""
    records = []
    named = {f"{name} {part}": each for (name, part), each in contributions.items()}
    for measure in MEASURES:
        y = training.quantity(measure, attention, place)
        agreements = rank_agreements(named, y, seed, draws)
        for (name, part), agreement in zip(contributions, agreements.values()):
            records.append(_record(training, attention, snapshot, measure, agreement, name, part))
    half = training.half()
    for (name, part), each in contributions.items():
        if half is not None and part == ALL and snapshot == "last":
            kept = training.kept(half, attention)
            agreement = survival_agreement(each, kept, seed, draws)
            records.append(_record(training, attention, snapshot, SURVIVAL, agreement, name, part))
    corrected = holm(np.array([_float(record["p_value"]) for record in records]))
    for record, p_value in zip(records, corrected):
        record["p_holm"] = _number(p_value)
    return records


def _over_training(
    training: Training, cube: xr.Dataset, attention: str, estimator: str
) -> list[list[list[float]]] | None:
    """Minus LCA of every head between each two snapshots (intervals, layers, heads)."""
    variable = _variables(cube).get(estimator)
    updates = training.heads["snapshot"].values.tolist()
    if variable is None or len(updates) < 2:
        return None
    try:
        return [
            lca_blocks(cube, attention, variable, blocks=1, after=after, until=until).value.tolist()
            for after, until in zip(updates, updates[1:])
        ]
    except HeadsError:
        return None  # an estimator that is not recorded in every interval


def _record(
    training: Training,
    attention: str,
    snapshot: str,
    measure: str,
    agreement: Agreement,
    estimator: str = "",
    part: str = ALL,
) -> dict[str, Any]:
    numbers: dict[str, Any] = {
        name: [_number(one) for one in value] if isinstance(value, tuple) else value
        for name, value in asdict(agreement).items()
    }
    numbers |= {"value": _number(agreement.value), "p_value": _number(agreement.p_value)}
    return {
        "model": training.name,
        "attention": attention,
        "snapshot": snapshot,
        "estimator": estimator,
        "component": part,
        "measure": measure,
        **numbers,
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 6)


def _float(value: float | None) -> float:
    return math.nan if value is None else value
