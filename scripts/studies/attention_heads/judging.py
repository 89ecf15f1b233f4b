"""Judge the claims about heads, and put the verdicts into a record that the report can show."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from losschange.claims import Evidence, judge_claim
from losschange.claims.judging import DRAWS, INTERVAL, MissingData
from report.claims.record import claim_record, result_record
from running.models import parse_model

from .claims import CLAIMS
from .evidence import Training
from .inputs import COLUMN
from .resampling import HeadResample


class HeadEvidence(Evidence):
    """The heads of a run's trainings, resampled over sentences.

    Parameters
    ----------
    trainings : mapping of model to sequence of Training
        One per seed.
    scratch : mapping of the name of a training to Dataset
        Scores of the models trained from scratch, by the training whose heads they have.
    main, learned, draws, seed
        See losschange.claims.Evidence.
    """

    def __init__(
        self,
        trainings: Mapping[str, Sequence[Training]],
        scratch: Mapping[str, xr.Dataset],
        main: Mapping[str, str],
        learned: Mapping[str, Sequence[str]],
        draws: int = DRAWS,
        seed: int = 1,
    ):
        summaries: Any = trainings  # resampled by this class, so they need not be summaries
        super().__init__(summaries, main, learned, draws, seed)
        self._scratch = scratch

    def objective(self, model: str) -> str:
        """The objective that a model was trained for."""
        return parse_model(model).objective

    def _replicate(self, summary: Any, model: str, estimator: str, place: int) -> Any:
        scratch = self._scratch.get(summary.name)
        # The same draws for every model: they are measured on the same sentences.
        random = np.random.default_rng([self.seed, zlib.crc32(b"sentences"), place])
        drawn = [HeadResample(summary, scratch, random) for _ in range(self.draws)]
        return HeadResample(summary, scratch), drawn


def judge_heads(
    trainings: Sequence[Training],
    scratch: Sequence[xr.Dataset],
    main: Sequence[str],
    learned: Mapping[str, Sequence[str]],
    seed: int,
) -> dict[str, Any]:
    """The record of all claims.

    Parameters
    ----------
    trainings : sequence of Training
    scratch : sequence of Dataset
        Scores of models trained from scratch, with the model's name as attribute.
    main : sequence of str
        Main models, one per objective.
    learned : mapping of model to verdicts of its trainings
    seed : int
        Draws the resamplings.
    """
    grouped: dict[str, list[Training]] = {}
    for training in trainings:
        grouped.setdefault(_model_of(training.name, main), []).append(training)
    scores = {_parent(str(each.attrs["model"]), trainings): each for each in scratch}
    objectives = {parse_model(name).objective: name for name in main if name in grouped}
    evidence = HeadEvidence(grouped, scores, objectives, learned, seed=seed)
    record: dict[str, Any] = {
        "columns": [{"name": COLUMN, "estimator": COLUMN, "architecture": "stock"}],
        "main_models": list(objectives.values()),
        "interval": list(INTERVAL),
        "draws": DRAWS,
        "seed": seed,
        "agreement": [],
        "positive_shares": {},
        "grouping": [],
        "claims": [],
    }
    for number in sorted(CLAIMS):
        entry = claim_record(CLAIMS[number])
        entry["results"][COLUMN] = result_record(judge_claim(CLAIMS[number], evidence, COLUMN))
        record["claims"].append(entry)
    return record


def _model_of(training: str, main: Sequence[str]) -> str:
    """The main model that a training is of: its name, or its name and a seed."""
    found = [name for name in main if training == name or training.startswith(f"{name}.seed")]
    if not found:
        raise MissingData(f"{training} is no training of {', '.join(main)}")
    return found[0]


def _parent(variant: str, trainings: Sequence[Training]) -> str:
    """The training whose heads a model trained from scratch has."""
    stem, _, seed = variant.partition(".seed")
    parent = stem.rsplit(".", 1)[0] + (f".seed{seed}" if seed else "")
    return next((each.name for each in trainings if each.name == parent), parent)
