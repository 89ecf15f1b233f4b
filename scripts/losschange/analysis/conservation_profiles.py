"""From summaries to the curves and ratios that say whether LCA adds up; no plotting, no files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import xarray as xr

from losschange.cube.estimators import TRAIN, VALID, texts_of

from .conservation import probe_measure
from .profiles import ProfileError

# What the training itself measures of a text, shown where it has no probe.
LOSSES_OF_TRAINING = {TRAIN: "training", VALID: "validation"}

# (updates, nats), both (points,): a change since the start of the recording
Curve = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class ConservationProfile:
    """The sums of all LCA of one model beside the loss changes that were measured.

    Parameters
    ----------
    model, objective : str
        As in the cube, empty where it does not say.
    last_update : int
    changes : mapping of measure to Curve
        Measured change of the loss; only what was measured.
    sums : mapping of estimator to Curve
        LCA summed over everything; a sample of the updates over its share.
    ratios : mapping of estimator to float
        Sum over measured change at the end; NaN where nothing was measured.
    references : mapping of estimator to str
        The measure that the ratio is of, "none" where nothing was measured.
    trainings : int
        How many the numbers are the mean of.
    sum_ranges : mapping of estimator to (lowest, highest)
        Of `sums` over the trainings; empty where there is one.
    ratio_ranges : mapping of estimator to (lowest, highest)
        Of `ratios`.
    """

    model: str
    objective: str
    last_update: int
    changes: dict[str, Curve]
    sums: dict[str, Curve]
    ratios: dict[str, float]
    references: dict[str, str]
    trainings: int = 1
    sum_ranges: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    ratio_ranges: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def shown_measures(self) -> dict[str, str]:
        """Measures of the loss by text: train, valid, then those of other probes.

        A text's measure is that of its probe, else that of the training.
        """
        probed = texts_of(self.sums)
        known = [TRAIN, VALID, *(text for text in probed if text not in LOSSES_OF_TRAINING)]
        measures = {
            text: (probe_measure(text), LOSSES_OF_TRAINING.get(text, "none")) for text in known
        }
        return {
            text: next(name for name in names if name in self.changes)
            for text, names in measures.items()
            if not self.changes.keys().isdisjoint(names)
        }


def conservation_profile(summary: xr.Dataset) -> ConservationProfile:
    """Curves and final ratios of every estimator that a summary holds."""
    estimators = [str(name) for name in summary["estimator"].values]
    references = dict(zip(estimators, map(str, summary["reference"].values), strict=True))
    ends = summary["bin"].values
    updates = np.concatenate([summary["bin_first"].values[:1] - 1, ends]).astype(np.float64)
    sums = {
        name: (updates, _from_zero(summary["cumulative"].sel(estimator=name).values))
        for name in estimators
    }
    changes = {}
    for name in summary["measure"].values.astype(str):
        change = summary["loss_change"].sel(measure=name).values
        if np.isfinite(summary["measured_change"].sel(measure=name)):
            changes[name] = (updates, _from_zero(change))
    if "validation" in changes:
        # rarely measured: only the points themselves
        valid = summary["valid_loss"].values
        changes["validation"] = (summary["valid_step"].values, valid - valid[0])
    ratios = {
        name: float(summary["over_count"].sel(estimator=name, measure=measure))
        if measure in changes
        else np.nan
        for name, measure in references.items()
    }
    return ConservationProfile(
        model=str(summary.attrs.get("model", "")),
        objective=str(summary.attrs.get("objective", "")),
        last_update=int(ends[-1]),
        changes=changes,
        sums=sums,
        ratios=ratios,
        references=references,
    )


def join_conservation(profiles: Sequence[ConservationProfile]) -> list[ConservationProfile]:
    """One profile per model: the mean over its trainings with different seeds, and their range.

    Raises
    ------
    ProfileError
        If the trainings of a model were not measured at the same updates.
    """
    families: dict[str, list[ConservationProfile]] = {}
    for profile in profiles:
        families.setdefault(profile.model, []).append(profile)
    return [_join(family) if len(family) > 1 else family[0] for family in families.values()]


def _join(family: Sequence[ConservationProfile]) -> ConservationProfile:
    first = family[0]
    curves = {
        kind: {name: _stack(family, kind, name) for name in getattr(first, kind)}
        for kind in ("changes", "sums")
    }
    ratios = {name: np.array([one.ratios[name] for one in family]) for name in first.ratios}
    return replace(
        first,
        changes={name: (x, y.mean(axis=0)) for name, (x, y) in curves["changes"].items()},
        sums={name: (x, y.mean(axis=0)) for name, (x, y) in curves["sums"].items()},
        ratios={name: float(values.mean()) for name, values in ratios.items()},
        trainings=len(family),
        sum_ranges={n: (y.min(axis=0), y.max(axis=0)) for n, (_, y) in curves["sums"].items()},
        ratio_ranges={n: (float(r.min()), float(r.max())) for n, r in ratios.items()},
    )


def _stack(family: Sequence[ConservationProfile], kind: str, name: str) -> Curve:
    """A curve of every training, (trainings, points), over the updates that they share."""
    found = [getattr(one, kind).get(name) for one in family]
    updates = family[0].__dict__[kind][name][0]
    if any(curve is None or not np.array_equal(curve[0], updates) for curve in found):
        raise ProfileError(
            f"the trainings of {family[0].model} were not measured at the same updates ({name}); "
            "train all of its seeds with the same settings"
        )
    return updates, np.stack([curve[1] for curve in found])


def _from_zero(values: np.ndarray) -> np.ndarray:
    return np.concatenate([[0.0], values])
