"""The models that the study shows, and what each of them was recorded with."""

from __future__ import annotations

import xarray as xr

from losschange.claims.resamples import TimeBins
from losschange.cube.estimators import VALID, Estimator, in_order, parse_estimator
from running.run_files import RunFiles

from .keeping import kept

STUDY = "zhu2020"


def shown_models(files: RunFiles) -> list[str]:
    """All translation models of fairseq's own architecture; those with nothing tied come first."""
    variants = files.variants(STUDY)
    translations = [name for name in files.stock_models() if files.models[name].translates]
    return [*variants, *sorted(translations, key=lambda name: not _is_untied(files, name))]


def _is_untied(files: RunFiles, name: str) -> bool:
    training = files.configuration.training_of(files.models[name])
    return training.tied_embeddings in (False, "none")


def estimators_of(summary: xr.Dataset) -> list[str]:
    """Names of the estimators in a summary, in the usual order."""
    return in_order(str(name) for name in summary["estimator"].values)


def reference_of(summary: xr.Dataset) -> str | None:
    """The estimator that stands for the exact gradient.

    The gradient of a whole text if it was recorded, else Simpson's or the trapezoid rule on a
    probe of the training text; None if there is neither.
    """
    known = estimators_of(summary)
    exact = [name for name in known if parse_estimator(name).rule == "exact"]
    return next((name for name in [*exact, "simpson", "probe"] if name in known), None)


def sampled_of(summary: xr.Dataset) -> str:
    """The estimator of Zhu et al.: fresh batches, of the reference's text where recorded."""
    known, reference = estimators_of(summary), reference_of(summary)
    wanted = ["fresh", "batch"]
    if reference is not None:
        wanted.insert(0, Estimator("fresh", parse_estimator(reference).text).name)
    return next(name for name in wanted if name in known)


def counterpart_of(summary: xr.Dataset, estimator: str) -> str | None:
    """The same rule on held-out text: `test` if recorded, else `valid`; None if there is neither.

    `batch` has none of its own, so that of `fresh` stands beside it; of an estimator on held-out
    text it is that on training text.
    """
    known = estimators_of(summary)
    rule, text = parse_estimator(estimator).rule, parse_estimator(estimator).text
    if text in ("test", VALID):
        return rule if rule in known else None
    rules = list(dict.fromkeys([rule, "fresh", "simpson", "probe"]))
    pairs = [(one, text) for one in rules for text in ("test", VALID) if one != "batch"]
    names = [Estimator(one, text).name for one, text in pairs]
    return next((name for name in names if name in known and name != estimator), None)


@kept
def reference_of_bins(bins: TimeBins) -> str | None:
    """The estimator that stands for the exact gradient in a training."""
    return reference_of(bins.summary)


@kept
def counterpart_of_bins(bins: TimeBins) -> str | None:
    """The counterpart of the estimator that the bins are of."""
    return counterpart_of(bins.summary, bins.estimator)


def train_and_test(summary: xr.Dataset) -> dict[str, str]:
    """Text ("train", "test") to the estimator that figures show of it."""
    known = estimators_of(summary)
    train = "fresh" if "fresh" in known else sampled_of(summary)
    other = counterpart_of(summary, train)
    return {"train": train} | ({"test": other} if other else {})
