"""The files of the study, read: heads, prunings and scores of every training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from attention_heads.quantities import Fixed, Quantity, Sentences
from attention_heads.storage import open_gates_file, open_heads

from .inputs import CONTROL, ENCODER

# Measures that LCA is compared with: variable of the last snapshot, and the same by sentence.
MEASURES: Mapping[str, str] = {
    "confidence": "confidence_by_sentence",
    "relevance": "relevance_by_sentence",
    "importance": "importance_by_sentence",
    "signed_importance": "importance_by_sentence",
    "ablation": "ablation_by_sentence",
}


@dataclass(frozen=True, eq=False)
class Training:
    """Everything that is known of the heads of one training.

    Parameters
    ----------
    name : str
    heads : Dataset
        See attention_heads.storage.
    gates : mapping of arm to Dataset
    """

    name: str
    heads: xr.Dataset
    gates: Mapping[str, xr.Dataset] = field(default_factory=dict)
    _read: dict[tuple[str, str], Any] = field(default_factory=dict, repr=False)

    @property
    def attentions(self) -> list[str]:
        """Types of attention."""
        return [str(name) for name in self.heads["attention"].values]

    def array(self, variable: str, attention: str, snapshot: int = -1) -> np.ndarray:
        """A variable of one attention at a snapshot (layers, heads, ...)."""
        found = self.heads[variable].isel(snapshot=snapshot).sel(attention=attention)
        return _cut(found.values, self.shape(attention))

    def by_sentence(self, variable: str, attention: str) -> np.ndarray:
        """A variable of one attention by sentence (sentences, layers, heads)."""
        if (variable, attention) not in self._read:
            layers, heads = self.shape(attention)
            found = self.heads[variable].sel(attention=attention).values[:, :layers, :heads]
            self._read[variable, attention] = found
        values: np.ndarray = self._read[variable, attention]
        return values

    def by_group(self, kind: str, attention: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Hits (groups, layers, heads, ...), chances and baseline (groups, ...) of a function."""
        if (kind, attention) not in self._read:
            layers, heads = self.shape(attention)
            hits, chances, baseline = (
                self.heads[f"{kind}_{part}"].sel(attention=attention).values
                for part in ("hits", "chances", "baseline")
            )
            self._read[kind, attention] = hits[:, :layers, :heads], chances, baseline
        found: tuple[np.ndarray, np.ndarray, np.ndarray] = self._read[kind, attention]
        return found

    def shape(self, attention: str) -> tuple[int, int]:
        """Layers and heads of an attention type."""
        known = self.heads["weight_norm"].isel(snapshot=-1).sel(attention=attention).notnull()
        return int(known.any("head").sum()), int(known.any("layer").sum())

    def quantity(self, measure: str, attention: str, snapshot: int = -1) -> Quantity:
        """A measure with what it can be resampled over: sentences, at the last snapshot."""
        if snapshot != -1:
            return Fixed(self.array(measure, attention, snapshot))
        values = self.by_sentence(MEASURES[measure], attention)
        targets = self.heads["targets"].values.astype(float)
        if measure == "importance":
            return Sentences(np.abs(values), (targets > 0).astype(float))
        weighted = measure in ("ablation", "signed_importance")
        return Sentences(values, targets if weighted else np.ones(len(targets)))

    def prices(self, encoder_only: bool = False) -> list[xr.Dataset]:
        """The prunings at ascending prices, without the control arm."""
        start = ENCODER if encoder_only else ""
        names = [name for name in self.gates if name.startswith(f"{start}price")]
        return [self.gates[name] for name in sorted(names)]

    def control(self, encoder_only: bool = False) -> xr.Dataset | None:
        """The pruning at price 0."""
        return self.gates.get(f"{ENCODER if encoder_only else ''}{CONTROL}")

    def half(self, encoder_only: bool = False) -> xr.Dataset | None:
        """The pruning that keeps most nearly half of the heads; None if none prunes any."""
        found = [each for each in self.prices(encoder_only) if 0 < kept_share(each) < 1]
        return min(found, key=lambda each: abs(kept_share(each) - 0.5), default=None)

    def kept(self, gates: xr.Dataset, attention: str) -> np.ndarray:
        """Which heads of an attention type a pruning keeps: bool (layers, heads)."""
        return _cut(gates["kept"].sel(attention=attention).values, self.shape(attention)) > 0.5


def kept_share(gates: xr.Dataset) -> float:
    """Share of the gated heads that are kept."""
    return float(gates.attrs["kept_heads"] / gates.attrs["gated_heads"])


def read_trainings(heads: Sequence[Path], gates: Iterable[Path] = ()) -> list[Training]:
    """Read the files of the study.

    Parameters
    ----------
    heads : sequence of path
        heads/<model>.nc.
    gates : iterable of path
        gates/<model>.<arm>.nc.

    Raises
    ------
    attention_heads.errors.HeadsError
        If a file is not of this kind.
    """
    found = []
    arms: dict[str, dict[str, xr.Dataset]] = {}
    for path in gates:
        opened = open_gates_file(path)
        arms.setdefault(str(opened.attrs["model"]), {})[str(opened.attrs["arm"])] = opened
    for path in heads:
        opened = open_heads(path)
        name = str(opened.attrs["model"])
        found.append(Training(name, opened, arms.get(name, {})))
    return found


def _cut(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return values[: shape[0], : shape[1]]
