"""Conservation: the sum of all LCA beside the change of the loss that was measured.

LCA summed over all parameters and updates stands for L(theta_T) - L(theta_0) (Lan et al. 2019;
Vázquez et al. 2022, §2.3). That change is measured on the training loss, the validation loss and
the text of every probe. A probe gives it exactly, at both ends of every interval between records.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from losschange.cube.estimators import INTERVAL_RULES, parse_estimator, texts_of
from losschange.cube.format import detail_variable

from .streaming import Plan, StreamedEstimator

FIRST_LOSS_STEPS = 10
# A sum over the measured change that lies within counts as conserved.
CONSERVED = (0.95, 1.05)

# Every summary has these; further probes add one for each text (`measures_of`).
MEASURES = {
    "training": "mean loss of the last training batches less that of the first",
    "validation": "last loss of the validation text less the first",
    "training_probe": "loss on a probe's fixed training text, at the end less at the start",
    "validation_probe": "loss on a probe's fixed validation text, at the end less at the start",
}
PROBE_MEASURES = {"train": "training_probe", "valid": "validation_probe"}
# What an estimator is compared with if its own text has no probe: the first that was measured.
REFERENCES = ("training_probe", "validation_probe", "validation", "training")

ERRORS = {
    "conservation_error": ("nats", "sum of all LCA less the measured change of the probe's loss"),
    "relative_conservation_error": ("1", "conservation error over the measured change"),
    "largest_interval_error": ("nats", "largest absolute error of the interval of one record"),
    "rms_interval_error": ("nats", "root mean square error of the intervals of all records"),
}


def probe_measure(text: str) -> str:
    """Name of the measure that is the loss of a probe on a text."""
    return PROBE_MEASURES.get(text, f"{text}_probe")


def measures_of(estimators: Iterable[str]) -> dict[str, str]:
    """All measures of a cube with these estimators, and their meanings."""
    others = {
        probe_measure(text): f"loss on a probe's fixed text {text!r}, at the end less at the start"
        for text in texts_of(estimators)
    }
    return MEASURES | {name: others[name] for name in others if name not in MEASURES}


@dataclass(frozen=True)
class ProbeLosses:
    """The losses that a probe measured, nats per target token.

    Parameters
    ----------
    steps : int array (n,)
        Updates at which its records end.
    before, after : float arrays (n,)
        Loss at the beginning and at the end of each record's interval.
    """

    steps: np.ndarray
    before: np.ndarray
    after: np.ndarray

    @property
    def change(self) -> float:
        """Change of the loss from the start of the first interval to the end of the last."""
        return float(self.after[-1] - self.before[0])

    def change_at(self, updates: np.ndarray, start: int) -> np.ndarray:
        """Change of the loss since update `start` (updates,), straight between the records."""
        losses = np.concatenate([self.before[:1], self.after])
        change: np.ndarray = np.interp(
            updates, np.concatenate([[start], self.steps]), losses - losses[0]
        )
        return change


def add_losses(summary: xr.Dataset, cube: xr.Dataset, plan: Plan) -> None:
    """Add the training and validation losses of an open cube to its summary."""
    loss = cube["loss"].values.astype(np.float64)
    first = min(FIRST_LOSS_STEPS, plan.window)
    nats = {"units": "nats"}
    summary["loss_moving_average"] = (
        "point",
        _window_means(loss, plan, plan.point_last),
        {**nats, "long_name": "mean training loss over the window"},
    )
    summary["loss_first"] = ((), loss[:first].mean(), nats)
    summary["loss_last"] = ((), loss[-plan.window :].mean(), nats)
    summary["loss_first"].attrs["long_name"] = f"mean training loss of the first {first} updates"
    summary["loss_last"].attrs["long_name"] = (
        f"mean training loss of the last {plan.window} updates"
    )
    valid = cube["valid_loss"].values.astype(np.float64)
    summary["valid_loss"] = ("valid_step", valid, {**nats, "long_name": "validation loss"})


def add_conservation(
    summary: xr.Dataset, cube: xr.Dataset, plan: Plan, streamed: Mapping[str, StreamedEstimator]
) -> None:
    """Add the sums of all LCA and the loss changes that were measured to a summary.

    Parameters
    ----------
    summary : Dataset
        With the losses of `add_losses`, and `totals` and `coverage` per estimator.
    cube : Dataset
        Open.
    plan : Plan
    streamed : mapping of estimator to StreamedEstimator
    """
    probes = {name: found for name in streamed if (found := probe_losses(cube, name)) is not None}
    texts = _text_losses(probes, streamed)
    _add_measured(summary, cube, plan, texts)
    # The intervals of a probe cover the whole run; other strided estimators are a sample of it.
    sampled = summary["coverage"].where(~summary["rule"].isin(INTERVAL_RULES), 1.0)
    summary["total"] = summary["totals"].sum(("layer", "component", "head"))
    summary["total"].attrs = {"units": "nats", "long_name": "LCA summed over all records"}
    summary["scaled_total"] = (summary["total"] / sampled).assign_attrs(
        units="nats",
        long_name="LCA summed over the whole run: a sample of the updates over its share",
    )
    summary["cumulative"] = (
        ("estimator", "bin"),
        np.stack([_cumulative(found, plan) for found in streamed.values()])
        / sampled.values[:, None],
        {
            "units": "nats",
            "long_name": "scaled total from the start to the end of the bin, straight between "
            "records",
        },
    )
    change = summary["measured_change"]
    summary["over_count"] = (summary["scaled_total"] / change.where(change != 0)).assign_attrs(
        units="1", long_name="sum of all LCA over the measured loss change"
    )
    known = [str(name) for name in change["measure"].values[np.isfinite(change.values)]]
    summary["reference"] = (
        "estimator",
        [reference_measure(name, known) for name in streamed],
        {"long_name": "measure that the estimator is held against"},
    )
    summary["binned_change"] = (
        ("estimator", "bin"),
        np.stack([_binned_change(summary, name, probes.get(name)) for name in streamed]),
        {
            "units": "nats",
            "long_name": "change of the reference loss over the intervals of the records that end "
            "in the bin; without a probe of its own, over the bin",
        },
    )
    _add_errors(summary, streamed, probes)


def _binned_change(summary: xr.Dataset, name: str, losses: ProbeLosses | None) -> np.ndarray:
    """Measured change (bins,) that the LCA of an estimator's records is to add up to."""
    if losses is not None:
        bins = np.searchsorted(summary["bin"].values, losses.steps)
        return np.bincount(bins, losses.after - losses.before, minlength=summary.sizes["bin"])
    reference = str(summary["reference"].sel(estimator=name).values)
    if reference == "none":
        return np.full(summary.sizes["bin"], np.nan)
    return np.diff(summary["loss_change"].sel(measure=reference).values, prepend=0.0)


def reference_measure(estimator: str, measured: Sequence[str]) -> str:
    """The measure that an estimator's sum is compared with, "none" if nothing was measured.

    It is the loss of the probe on the estimator's own text (of `batch`, the training text) or,
    without one, the first of REFERENCES that was `measured`.
    """
    own = probe_measure(parse_estimator(estimator).text)
    return next((name for name in [own, *REFERENCES] if name in measured), "none")


def probe_losses(cube: xr.Dataset, estimator: str) -> ProbeLosses | None:
    """The losses that stand beside the records of an estimator, None where there are none."""
    before, after = (detail_variable(name, estimator) for name in ("loss_before", "loss"))
    if before not in cube or after not in cube:
        return None
    axis = cube[after].dims[0]
    return ProbeLosses(
        cube[axis].values.astype(np.int64),
        cube[before].values.astype(np.float64),
        cube[after].values.astype(np.float64),
    )


def _text_losses(
    probes: Mapping[str, ProbeLosses], streamed: Mapping[str, StreamedEstimator]
) -> dict[str, ProbeLosses]:
    """Losses per measure, of the estimator that evaluated the text most often."""
    rarest_first = sorted(probes, key=lambda name: streamed[name].stride, reverse=True)
    return {probe_measure(parse_estimator(name).text): probes[name] for name in rarest_first}


def _add_measured(
    summary: xr.Dataset, cube: xr.Dataset, plan: Plan, texts: Mapping[str, ProbeLosses]
) -> None:
    ends = plan.bin_last
    names = [str(name) for name in summary["measure"].values]
    curves = {name: np.full(len(ends), np.nan) for name in names}
    changes = dict.fromkeys(names, np.nan)
    loss = cube["loss"].values.astype(np.float64)
    curves["training"] = _window_means(loss, plan, ends) - float(summary["loss_first"])
    changes["training"] = float(summary["loss_last"] - summary["loss_first"])
    valid = summary["valid_loss"].values
    if len(valid) > 1:
        curves["validation"] = np.interp(ends, summary["valid_step"].values, valid - valid[0])
        changes["validation"] = float(valid[-1] - valid[0])
    for name, losses in texts.items():
        curves[name] = losses.change_at(ends, plan.start)
        changes[name] = losses.change
    summary["measured_change"] = (
        "measure",
        list(changes.values()),
        {"units": "nats", "long_name": "last minus first loss"},
    )
    summary["loss_change"] = (
        ("measure", "bin"),
        np.stack(list(curves.values())),
        {
            "units": "nats",
            "long_name": "measured change of the loss from the start to the end of the bin, "
            "straight between measurements; of the training loss, its mean over a window",
        },
    )


def _add_errors(
    summary: xr.Dataset,
    streamed: Mapping[str, StreamedEstimator],
    probes: Mapping[str, ProbeLosses],
) -> None:
    """Conservation errors of the probe estimators, NaN for the others."""
    columns = []
    for name, found in streamed.items():
        if name not in probes:
            columns.append([np.nan] * len(ERRORS))
            continue
        losses = probes[name]
        errors = found.record_sums - (losses.after - losses.before)
        total = found.record_sums.sum() - losses.change
        relative = total / losses.change if losses.change != 0 else np.nan
        columns.append([total, relative, np.abs(errors).max(), np.sqrt(np.mean(errors**2))])
    for position, (name, (units, meaning)) in enumerate(ERRORS.items()):
        numbers = [column[position] for column in columns]
        summary[name] = ("estimator", numbers, {"units": units, "long_name": meaning})


def _cumulative(found: StreamedEstimator, plan: Plan) -> np.ndarray:
    """Sum of all LCA (bins,) from the start to the end of each bin."""
    steps = np.concatenate([[plan.start], found.steps])
    sums = np.concatenate([[0.0], np.cumsum(found.record_sums)])
    cumulative: np.ndarray = np.interp(plan.bin_last, steps, sums)
    return cumulative


def _window_means(loss: np.ndarray, plan: Plan, last: np.ndarray) -> np.ndarray:
    """Means of a per-update series over the windows that end at the updates `last`."""
    cumulative = np.concatenate([[0.0], np.cumsum(loss)])
    high = np.searchsorted(plan.steps, last, side="right")
    low = np.searchsorted(plan.steps, last - plan.window, side="right")
    # A window between two checkpoints of a series holds no update of which a loss is known.
    count = np.where(high > low, high - low, np.nan)
    means: np.ndarray = (cumulative[high] - cumulative[low]) / count
    return means
