"""The folder of parts of a training in several processes, of which the first writes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from losschange.cube.layout import CubeLayout
from losschange.cube.parts import PartStore, Records
from losschange.cube.word_bins import WordBins

from .shards import Shards


class SharedStore(PartStore):
    """A PartStore whose every method is called in all processes, and works in the first.

    What the first process finds, or the exception that it raises, is that of all.

    Parameters
    ----------
    folder : path
    shards : Shards
    """

    def __init__(self, folder: str | os.PathLike[str], shards: Shards):
        super().__init__(folder)
        self._shards = shards

    def write(
        self,
        first: int,
        layout: CubeLayout,
        series: Mapping[str, np.ndarray],
        records: Mapping[str, Records],
        valid_losses: list[tuple[int, float]],
        attributes: Mapping[str, object],
        word_bins: WordBins | None = None,
    ) -> Path:
        """Write a part; see PartStore.write."""
        write = super().write
        return self._shards.on_first(
            lambda: write(first, layout, series, records, valid_losses, attributes, word_bins)
        )

    def append(
        self,
        layout: CubeLayout,
        records: Mapping[str, Records],
        valid_losses: list[tuple[int, float]],
    ) -> None:
        """Add to the newest part; see PartStore.append."""
        append = super().append
        self._shards.on_first(lambda: append(layout, records, valid_losses))

    def claim(
        self, layout: CubeLayout, updates: int, run: str | None = None, parameters: str = ""
    ) -> None:
        """Claim the folder; see PartStore.claim."""
        claim = super().claim

        def claimed() -> dict[str, str]:
            claim(layout, updates, run, parameters)
            return self.marks

        self.marks = self._shards.on_first(claimed)

    def last_record(self, estimator: str) -> int:
        """Update of an estimator's newest record; see PartStore.last_record."""
        last_record = super().last_record
        return self._shards.on_first(lambda: last_record(estimator))
