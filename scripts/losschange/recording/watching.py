"""Sums of a recording for those who watch it while the training runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from losschange.cube.layout import CubeLayout
from losschange.cube.parts import Records


class Watcher(Protocol):
    """Shows sums of a recording somewhere.

    Attributes
    ----------
    every : int
        Updates between two points.
    """

    every: int

    def write(self, update: int, sums: Mapping[str, float]) -> None:
        """Show the loss change since the last point, nats per target token.

        Parameters
        ----------
        update : int
            The last update that is part of it.
        sums : mapping of "estimator/layer/component" to float
            For layers as CubeLayout.labels names them; "estimator/all" is the sum of all cells.
        """

    def close(self) -> None:
        """End the showing."""


class LayerSums:
    """Adds up records over heads and updates, from one point to the next.

    Parameters
    ----------
    layout : CubeLayout
    watchers : sequence of Watcher
    """

    def __init__(self, layout: CubeLayout, watchers: Sequence[Watcher]):
        self._watchers = list(watchers)
        self._sums: list[dict[str, np.ndarray]] = [{} for _ in self._watchers]
        groups = [(cell.layer, cell.component) for cell in layout.cells]
        order = sorted(dict.fromkeys(groups), key=lambda group: (group[0], group[1]))
        self._names = [f"{layout.labels[layer]}/{component}" for layer, component in order]
        self._groups = np.array([order.index(group) for group in groups])

    def due(self, update: int) -> bool:
        """Whether a point is due after an update."""
        return any(update % watcher.every == 0 for watcher in self._watchers)

    def add(self, records: Mapping[str, Records]) -> None:
        """Add records that came to the host."""
        for estimator, found in records.items():
            if not len(found.steps):
                continue
            total = np.zeros(len(self._names))
            np.add.at(total, self._groups, found.values.sum(axis=0))
            for sums in self._sums:
                sums[estimator] = sums.get(estimator, 0.0) + total

    def show(self, update: int, last: bool = False) -> None:
        """Hand on the points that are due after an update, or all that is left after the last."""
        for watcher, sums in zip(self._watchers, self._sums, strict=True):
            if sums and (last or update % watcher.every == 0):
                point = {f"{name}/all": float(total.sum()) for name, total in sums.items()}
                for name, total in sums.items():
                    point |= {
                        f"{name}/{group}": float(value)
                        for group, value in zip(self._names, total, strict=True)
                    }
                watcher.write(update, point)
                sums.clear()

    def close(self) -> None:
        """End the showing."""
        for watcher in self._watchers:
            watcher.close()
