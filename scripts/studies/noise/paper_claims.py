"""The paper's claims, judged on its estimator, on the measured part and on the noise part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from losschange.claims import Claim, Evidence, MissingData, judge_claim, main_models
from losschange.claims.resamples import Resample, TimeBins

NOISE = "noise"
# Part: the estimator that stands for it in the summaries below.
PARTS = {"batch": "batch", "measured": "simpson", NOISE: NOISE}
NEEDED = ("batch", "fresh")
# What claims read of a summary.
VARIABLES = (
    "binned_records",
    "binned_total",
    "binned_positive_count",
    "binned_change",
    "block_total",
    "total",
    "scaled_total",
    "n_parameters",
)


class SignlessResample(Resample):
    """A training of which only sums are known, not the sign of a single update's LCA."""

    def hurts(self, *components: str) -> np.ndarray:
        raise MissingData(
            "the sign of one update's noise is not known: the fresh gradient that it is told by "
            "has an error as large"
        )

    def hurts_outside(self, component: str) -> float:
        self.hurts(component)
        return 0.0


class PartsEvidence(Evidence):
    """Summaries with the noise part; claims that count signs cannot be judged on it."""

    def resample(
        self, bins: TimeBins, estimator: str, random: np.random.Generator | None = None
    ) -> Resample:
        kind = SignlessResample if estimator == NOISE else Resample
        return kind(bins, random)


def with_noise(summary: xr.Dataset) -> xr.Dataset:
    """The summary of a training with a further estimator, noise = batch - fresh.

    Its records are those of `fresh`, which is scaled to all updates. Without `fresh`, there is no
    such estimator.
    """
    names = [str(name) for name in summary["estimator"].values]
    kept = summary[list(VARIABLES)]
    if not set(NEEDED) <= set(names):
        return kept
    batch, fresh = (kept.sel(estimator=name) for name in NEEDED)
    coverage = float(summary["coverage"].sel(estimator="fresh"))
    noise = fresh.copy()
    for name in ("binned_total", "block_total"):
        noise[name] = batch[name] - fresh[name] / coverage
    noise["total"] = noise["scaled_total"] = batch["scaled_total"] - fresh["scaled_total"]
    noise["binned_positive_count"] = xr.full_like(fresh["binned_positive_count"], np.nan)
    for label in ("rule", "text"):
        if label in noise.coords:
            noise = noise.drop_vars(label)
            kept = kept.drop_vars(label)
    noise = noise.assign_coords(estimator=NOISE)
    joined: xr.Dataset = xr.concat(
        [kept, noise], "estimator", data_vars="minimal", coords="minimal", compat="override"
    )
    return joined.assign_attrs(summary.attrs)


def judge_paper(
    claims: Mapping[int | str, Claim],
    summaries: Sequence[xr.Dataset],
    main: Sequence[str],
    learned: Mapping[str, Sequence[str]],
    seed: int,
) -> list[dict]:
    """Every claim's number, statement and results by part of PARTS.

    Parameters
    ----------
    claims : mapping of number to Claim
    summaries : sequence of Dataset
        Of models of one architecture.
    main : sequence of str
        Main models, one per objective.
    learned : mapping of model to verdicts
        Whether its trainings learned.
    seed : int
        Of the resampling.
    """
    grouped: dict[str, list[xr.Dataset]] = {}
    for summary in summaries:
        grouped.setdefault(str(summary.attrs["model"]), []).append(with_noise(summary))
    chosen = main_models(grouped) | main_models({m: grouped[m] for m in main if m in grouped})
    evidence = PartsEvidence(grouped, chosen, learned, seed=seed)
    record: list[dict] = [
        {"number": number, "statement": claims[number].statement, "results": {}}
        for number in claims
    ]
    for part, estimator in PARTS.items():
        for entry in record:
            result = judge_claim(claims[entry["number"]], evidence, estimator)
            numbers = {name: float(getattr(result, name)) for name in ("value", "low", "high")}
            entry["results"][part] = {
                "verdict": result.verdict,
                "reason": result.reason,
                **{name: f"{value:.3g}" for name, value in numbers.items()},
            }
        evidence.forget()
    return record
