"""What the figures show, computed from the files of the study; the figures only draw."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from attention_heads.ratios import ratio
from running.models import parse_model

from .evidence import Training, read_trainings
from .resampling import POSITIONAL, RARE, SYNTACTIC, HeadResample

STACKS = {"encoder": "encoder", "decoder": "decoder", "cross": "cross-attention"}
# Kinds of functions, and the strength from which a head has one (Voita et al. 2019, section 5).
KINDS = {"positional": POSITIONAL, "rare": RARE, "syntactic": SYNTACTIC}
NULL_DRAWS = 2000
INTERVAL_DRAWS = 200


@dataclass(frozen=True)
class Panel:
    """The heads of one attention type of one training."""

    training: Training
    attention: str

    @property
    def title(self) -> str:
        """Such as "MT (mt-en-de), cross-attention"; a language model has one type only."""
        name = self.training.name
        if len(self.training.attentions) == 1:
            return name
        return f"{name}, {STACKS[self.attention]}"

    @property
    def objective(self) -> str:
        """The objective of the training."""
        return objective_of(self.training.name)

    def values(self, variable: str, snapshot: int = -1) -> np.ndarray:
        """A variable (layers, heads) at a snapshot."""
        return self.training.array(variable, self.attention, snapshot)


def objective_of(training: str) -> str:
    """The objective of a training by its name."""
    return parse_model(training.partition(".seed")[0]).objective


def read_panels(inputs: Mapping[str, Sequence[Path]]) -> list[Panel]:
    """A panel per attention type of every main model's first training."""
    trainings = read_trainings(inputs["heads"], inputs.get("gates", ()))
    first = [each for each in trainings if ".seed" not in each.name]
    return [Panel(training, name) for training in first for name in training.attentions]


def read_relations(inputs: Mapping[str, Sequence[Path]]) -> dict[str, Any]:
    """The content of relations.json."""
    found: dict[str, Any] = json.loads(inputs["relations"][0].read_text(encoding="utf-8"))
    return found


def lca_of(relations: Mapping[str, Any], panel: Panel) -> np.ndarray | None:
    """Minus the LCA of every head over the whole training (layers, heads)."""
    found = relations["models"][panel.training.name]["lca"].get(panel.attention)
    return None if found is None else np.array(found)


def by_relevance(values: np.ndarray, relevance: np.ndarray) -> np.ndarray:
    """Sort the heads of every layer by falling relevance."""
    order = np.argsort(-np.nan_to_num(relevance), axis=-1, kind="stable")
    return np.take_along_axis(values, order, axis=-1)


def strengths(panel: Panel, snapshot: int = -1) -> dict[str, np.ndarray]:
    """How strongly every head has each function (layers, heads); NaN where it cannot be told.

    positional: rate at the best offset. rare: rate at one of the two rarest tokens. syntactic:
    largest gain over the best fixed offset, over relations and directions.
    """
    training, name = panel.training, panel.attention
    found = {
        "positional": _largest(panel.values("positional", snapshot), 1),
        "rare": panel.values("rare", snapshot)[..., 1],
    }
    if "syntactic" in training.heads:
        _, chances, expected = training.by_group("syntactic", name)
        baseline = ratio(expected.sum(0), chances.sum(0))
        gains = panel.values("syntactic", snapshot) - baseline
        found["syntactic"] = _largest(gains, 2)
    else:
        found["syntactic"] = np.full(training.shape(name), np.nan)
    return found


def functions_of(panel: Panel) -> dict[str, np.ndarray]:
    """Which heads have each function at the end (layers, heads)."""
    return HeadResample(panel.training).functions(panel.attention)


def tests_of(relations: Mapping[str, Any], panel: Panel, **wanted: str) -> Iterator[dict[str, Any]]:
    """The comparisons of a panel's heads whose fields have the wanted values."""
    for test in relations["models"][panel.training.name]["tests"]:
        if test["attention"] == panel.attention and all(
            test[name] == value for name, value in wanted.items()
        ):
            yield test


@dataclass(frozen=True)
class Timing:
    """Whether heads get their function when their LCA peaks.

    `value` is the rank correlation over heads of the interval in which the strength of a function
    rises most, and the interval in which a head's contribution per update is largest; `null` the
    middle 95 % when heads are permuted within layers. `reason` says why there is none.
    """

    value: float
    null: tuple[float, float]
    reason: str | None = None


def timing(panel: Panel, contributions: np.ndarray, seed: int = 1) -> Timing:
    """Compare when functions rise with when LCA peaks.

    Parameters
    ----------
    panel : Panel
    contributions : array (intervals, layers, heads)
        Minus LCA per update between snapshots.
    seed : int
        Of the permutations.
    """
    from scipy import stats  # takes a second, which the other figures need not wait

    nothing = (np.nan, np.nan)
    number = panel.training.heads.sizes["snapshot"]
    if len(contributions) < 2:
        return Timing(np.nan, nothing, "there are fewer than three snapshots")
    series = np.array(
        [
            [np.nan_to_num(each) / KINDS[kind] for kind, each in strengths(panel, at).items()]
            for at in range(number)
        ]
    ).max(1)
    risen, peaks = np.diff(series, axis=0).argmax(0), contributions.argmax(0)
    if np.ptp(risen) == 0 or np.ptp(peaks) == 0:
        return Timing(np.nan, nothing, "all heads rise, or all contribute most, at the same time")
    value = float(stats.spearmanr(risen.ravel(), peaks.ravel()).statistic)
    random = np.random.default_rng(seed)
    ranks = stats.rankdata(peaks.ravel())
    own = stats.rankdata(risen.ravel()).reshape(risen.shape)
    drawn = [
        np.corrcoef(random.permuted(own, axis=-1).ravel(), ranks)[0, 1] for _ in range(NULL_DRAWS)
    ]
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Timing(value, (float(low), float(high)))


def interval_of_scores(
    panel: Panel, scores: xr.Dataset, control: xr.Dataset, measure: str, seed: int = 1
) -> tuple[float, float, float]:
    """BLEU or perplexity of a model, with the interval of its difference from the control arm.

    Returns
    -------
    value, low, high : float
        low and high are the value of the control arm plus the ends of the interval of the
        difference (95 %, over sentences).
    """

    def values(resample: HeadResample) -> tuple[float, float]:
        if measure == "BLEU":
            return resample.bleu(scores), resample.bleu(control)
        return float(np.exp(resample.loss(scores))), float(np.exp(resample.loss(control)))

    random = np.random.default_rng(seed)
    value, own = values(HeadResample(panel.training))
    drawn = [values(HeadResample(panel.training, None, random)) for _ in range(INTERVAL_DRAWS)]
    low, high = own + np.percentile([one - other for one, other in drawn], (2.5, 97.5))
    return value, float(min(low, value)), float(max(high, value))


def _largest(values: np.ndarray, axes: int) -> np.ndarray:
    """Largest value over the last axes; NaN where all are NaN."""
    flat = values.reshape(*values.shape[:-axes], -1)
    known = ~np.isnan(flat).all(-1)
    return np.where(known, np.nan_to_num(flat, nan=-np.inf).max(-1), np.nan)
