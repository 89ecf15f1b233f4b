"""From summaries to the arrays that a figure shows; no plotting, no files.

A contribution is P = -(sum of LCA): positive where the parameters lowered the loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import xarray as xr

from losschange.cube.estimators import INTERVAL_RULES
from losschange.cube.layout import NO_HEAD

INNER_STACKS = ("encoder", "decoder")
LAYER_COMPONENTS = ("key", "query", "value", "out", "W1", "W2")
ATTENTION = ("key", "query", "value")
FEED_FORWARD = ("W1", "W2")


class ProfileError(ValueError):
    """A summary lacks the requested data."""


@dataclass(frozen=True)
class ModelProfile:
    """The data that a figure shows of one model.

    Parameters
    ----------
    model, objective, language : str
        As in the cube; `language` is the target language.
    layers : int
        Number of Transformer layers, encoder and decoder together.
    border : int or None
        Number of encoder layers where a decoder follows them.
    values : mapping of component to float array
        Nats per token; what the axes are says the function that made it.
    lowest, highest : mapping of component to float array
        The range over trainings with other seeds; empty where there is one training.
    trainings : int
        How many `values` is the mean of.
    """

    model: str
    objective: str
    language: str
    layers: int
    border: int | None
    values: dict[str, np.ndarray]
    lowest: dict[str, np.ndarray] = field(default_factory=dict)
    highest: dict[str, np.ndarray] = field(default_factory=dict)
    trainings: int = 1


def layer_profile(summary: xr.Dataset, estimator: str) -> ModelProfile:
    """Contributions summed over training and heads: (1,) of the embedding, (layers,) of others."""
    totals = _head_sums(_totals(summary, estimator)).compute()
    return _profile(
        summary,
        {"embedding": _embedding(summary, totals)}
        | {name: -_inner(summary, totals, name) for name in LAYER_COMPONENTS},
    )


def head_profile(summary: xr.Dataset, estimator: str) -> ModelProfile:
    """Contributions (layers, heads) of key, query and value, summed over training."""
    totals = _totals(summary, estimator).isel(head=slice(NO_HEAD + 1, None))
    return _profile(summary, {name: -_inner(summary, totals, name) for name in ATTENTION})


def training_profile(summary: xr.Dataset, estimator: str) -> ModelProfile:
    """Moving averages of the contribution per update.

    `values` holds "step" (points,), "embedding" (points,), "attention" = key + query + value and
    "feed-forward" = W1 + W2, both (points, layers).
    """
    averages = _select(summary, "moving_average", estimator)
    groups = {"attention": ATTENTION, "feed-forward": FEED_FORWARD}
    return _profile(
        summary,
        {
            "step": summary["point"].values,
            "embedding": -averages.sel(component="embedding").sum("layer").values,
        }
        | {
            group: -np.sum([_inner(summary, averages, name) for name in names], axis=0)
            for group, names in groups.items()
        },
    )


def positive_profile(
    summary: xr.Dataset, estimator: str, unit_convention: str, most_bins: int = 125
) -> ModelProfile:
    """Largest positive LCA of each bin of training.

    Neighbouring bins are joined until at most `most_bins` are left, so that a single update stays
    visible in print. `values` holds "edge" (bins + 1,) in updates and every component of
    LAYER_COMPONENTS as (layers, bins).
    """
    largest = _select(summary, "binned_positive_max", estimator).sel(
        unit_convention=unit_convention
    )
    last = summary["bin"].values
    joined = -(-len(last) // most_bins)
    starts = np.arange(0, len(last), joined)
    edge = np.append(summary["bin_first"].values[starts] - 1, last[-1])
    return _profile(
        summary,
        {"edge": edge}
        | {
            name: np.maximum.reduceat(_inner(summary, largest, name), starts, axis=0).T
            for name in LAYER_COMPONENTS
        },
    )


def join_replicates(profiles: Sequence[ModelProfile]) -> list[ModelProfile]:
    """One profile per model: the mean over its trainings with different seeds, and their range.

    Models stay in the order of their first training.

    Raises
    ------
    ProfileError
        If trainings of one model do not have profiles of the same shape.
    """
    families: dict[str, list[ModelProfile]] = {}
    for profile in profiles:
        families.setdefault(profile.model, []).append(profile)
    joined = []
    for model, family in families.items():
        first = family[0]
        if len(family) == 1:
            joined.append(first)
            continue
        stacks = {}
        for name in first.values:
            shapes = {np.shape(member.values[name]) for member in family}
            if len(shapes) > 1:
                raise ProfileError(
                    f"the trainings of {model} differ in size ({name}: {shapes}); train all of "
                    "its seeds with the same settings"
                )
            stacks[name] = np.stack([member.values[name] for member in family])
        joined.append(
            replace(
                first,
                values={name: stack.mean(axis=0) for name, stack in stacks.items()},
                lowest={name: stack.min(axis=0) for name, stack in stacks.items()},
                highest={name: stack.max(axis=0) for name, stack in stacks.items()},
                trainings=len(family),
            )
        )
    return joined


def _profile(summary: xr.Dataset, values: dict[str, np.ndarray]) -> ModelProfile:
    stacks = _stacks(summary)
    encoder, decoder = (stacks.count(stack) for stack in INNER_STACKS)
    return ModelProfile(
        model=str(summary.attrs["model"]),
        objective=str(summary.attrs["objective"]),
        language=str(summary.attrs.get("target_language", "")),
        layers=encoder + decoder,
        border=encoder if encoder and decoder else None,
        values=values,
    )


def _select(summary: xr.Dataset, name: str, estimator: str) -> xr.DataArray:
    known = [str(e) for e in summary["estimator"].values]
    if estimator not in known:
        raise ProfileError(
            f"model {summary.attrs.get('model')} was not recorded with the estimator "
            f"{estimator!r}; recorded: {', '.join(known)}"
        )
    return summary[name].sel(estimator=estimator)


def _totals(summary: xr.Dataset, estimator: str) -> xr.DataArray:
    """LCA over the whole run: of an estimator that sees a sample of the updates, over its share.

    The intervals of a probe reach from one record to the next, so they cover the run themselves.
    """
    totals = _select(summary, "totals", estimator)
    of_intervals = str(summary["rule"].sel(estimator=estimator).values) in INTERVAL_RULES
    return totals if of_intervals else totals / summary["coverage"].sel(estimator=estimator)


def _head_sums(totals: xr.DataArray) -> xr.DataArray:
    # min_count keeps cells that the model does not have NaN instead of 0
    return totals.sum("head", min_count=1)


def _embedding(summary: xr.Dataset, sums: xr.DataArray) -> np.ndarray:
    return -sums.sel(component="embedding").sum("layer").values.reshape(1)


def _inner(summary: xr.Dataset, values: xr.DataArray, component: str) -> np.ndarray:
    """The Transformer layers of one component; the axis order of `values` is kept."""
    inside = [stack in INNER_STACKS for stack in _stacks(summary)]
    return values.sel(component=component).isel(layer=np.flatnonzero(inside)).values


def _stacks(summary: xr.Dataset) -> list[str]:
    return [str(stack) for stack in summary["stack"].values]
