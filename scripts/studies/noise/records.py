"""The records of a run's trainings, and the numbers that figures, tables and claims take of them.

A number is an array (1 + draws,): as recorded, and of every resampling of training. It is computed
alike for all of them, so that the percentiles of a statistic's resamplings are its interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from losschange.analysis.profiles import INNER_STACKS
from losschange.claims.judging import INTERVAL, MOST_UNDEFINED
from running.models import parse_model

from .batch_sizes import name_of_size

# In the names of the variants that differ in the size of their batch.
SIZE = "batch-"


@dataclass(frozen=True)
class Records:
    """Records of trainings by the name of their model, as `studies.noise.measuring` writes them.

    Attributes
    ----------
    trainings : dict of str to Dataset
        Trainings of a model with several seeds are averaged.
    vocabulary : int
        Symbols of a model's vocabulary.
    """

    trainings: dict[str, xr.Dataset]
    vocabulary: int

    def models(self) -> list[str]:
        """Names of the models that are no variants."""
        return [name for name in self.trainings if not parse_model(name).variant]

    def variants(self, model: str) -> dict[str, xr.Dataset]:
        """The variants of a model by the part of their name after the model's."""
        return {
            parse_model(name).variant: record
            for name, record in self.trainings.items()
            if parse_model(name).variant and parse_model(name).parent == model
        }

    def ladder(self, model: str, optimizer: str) -> list[xr.Dataset]:
        """Trainings of a model that differ in the size of their batch alone, by their targets."""
        found = [one for name, one in self.variants(model).items() if SIZE in name]
        # With fewer updates than the model itself, there is a variant of its own size.
        if model in self.trainings and name_of_size(1) not in self.variants(model):
            found.append(self.trainings[model])
        found = [one for one in found if one.attrs["optimizer"] == optimizer]
        return sorted(found, key=lambda one: float(one["targets"][0]))

    def optimizers(self) -> list[str]:
        """Optimizers of all trainings, in order of appearance."""
        return list(dict.fromkeys(str(one.attrs["optimizer"]) for one in self.trainings.values()))


def read_records(paths: Sequence[Path], vocabulary: int) -> Records:
    """Read the records of a run.

    Raises
    ------
    FileNotFoundError
        If one of the files does not exist.
    """
    families: dict[str, list[xr.Dataset]] = {}
    for path in paths:
        with xr.open_dataset(path, engine="netcdf4") as opened:
            record = opened.load()
        families.setdefault(str(record.attrs["model"]), []).append(record)
    return Records({name: _mean(family) for name, family in families.items()}, vocabulary)


def _mean(family: list[xr.Dataset]) -> xr.Dataset:
    if len(family) == 1:
        return family[0]
    joined = xr.concat(family, "training", data_vars="all", coords="minimal", compat="override")
    return joined.mean("training", skipna=False).assign_attrs(family[0].attrs)


def both(record: xr.Dataset, term: str, window: int | slice = 0) -> xr.DataArray:
    """LCA of a term by layer and component, the recorded one (draw 0) before the resamplings.

    A slice of windows gives their sum.
    """
    recorded, drawn = (record[name].sel(term=term) for name in ("value", "drawn"))
    chosen = xr.concat([recorded.expand_dims("draw"), drawn], "draw").isel(window=window)
    # All windows are of the same cells, so that NaN stays where the model has none.
    return chosen.sum("window", skipna=False) if isinstance(window, slice) else chosen


def total(record: xr.Dataset, term: str, window: int | slice = 0) -> np.ndarray:
    """LCA of a term summed over all cells (1 + draws,); NaN where it cannot be told."""
    return both(record, term, window).sum(("layer", "component"), min_count=1).values


def late_windows(record: xr.Dataset) -> slice:
    """The windows whose middle is in the second half; the whole run where it is not divided."""
    if record.sizes["window"] < 3:
        return slice(0, 1)
    middles = (record["window_first"].values + record["window_last"].values) / 2
    return slice(1 + int(np.argmax(middles[1:] > middles[0])), None)


def late_noise(record: xr.Dataset) -> np.ndarray:
    """Noise per update in the second half of training (1 + draws,), in nats, above 0."""
    windows = late_windows(record)
    spans = record["window_last"] - record["window_first"] + 1
    return -total(record, "noise", windows) / float(spans[windows].sum())


def late_targets(record: xr.Dataset) -> float:
    """Target tokens per update in the second half of training."""
    return float(record["targets"][late_windows(record)].mean())


def late_rate(record: xr.Dataset) -> float:
    """Mean learning rate in the second half of training."""
    windows = late_windows(record)
    spans = record["window_last"] - record["window_first"] + 1
    return float(record["rate"][windows].sum() / spans[windows].sum())


def over_count(record: xr.Dataset, window: int = 0) -> np.ndarray:
    """Sum of the paper's estimator over the measured part (1 + draws,)."""
    return total(record, "batch", window) / total(record, "measured", window)


def share(record: xr.Dataset, part: str) -> np.ndarray:
    """Share of a part in the sum of the paper's estimator (1 + draws,)."""
    return total(record, part) / total(record, "batch")


def layer_contributions(record: xr.Dataset, term: str, component: str) -> np.ndarray:
    """-LCA of the Transformer layers (1 + draws, layers)."""
    inside = np.isin(record["stack"].values.astype(str), INNER_STACKS)
    return -both(record, term).sel(component=component).values[:, inside]


def encoder_layers(record: xr.Dataset) -> int | None:
    """Number of encoder layers where a decoder follows them."""
    stacks = [str(stack) for stack in record["stack"].values]
    encoder = stacks.count("encoder")
    return encoder if encoder and stacks.count("decoder") else None


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """(value, low, high) of a number (1 + draws,): 95 % of the resamplings.

    Without ends where the number is not defined in more than 5 % of them.
    """
    value, drawn = float(values[0]), values[1:]
    known = drawn[np.isfinite(drawn)]
    if not np.isfinite(value) or len(known) < (1 - MOST_UNDEFINED) * len(drawn):
        return value, np.nan, np.nan
    low, high = np.percentile(known, INTERVAL)
    return value, min(float(low), value), max(float(high), value)
