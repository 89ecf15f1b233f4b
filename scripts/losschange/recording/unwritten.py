"""Records that are not on disk yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from losschange.cube.parts import PartStore, Records, join_records
from losschange.cube.word_bins import WordBins

from .partition import Partition
from .series import Series


class Unwritten:
    """Records, numbers of updates and validation losses since the last part.

    They are removed only after they were written, so a failed write can be repeated.

    Parameters
    ----------
    estimators : iterable of str
    """

    def __init__(self, estimators: Iterable[str]):
        self.series = Series()
        self.valid_losses: list[tuple[int, float]] = []
        self._blocks: dict[str, list[Records]] = {name: [] for name in estimators}

    def add(self, drained: Mapping[str, Records]) -> None:
        """Add the records of every estimator since the last call."""
        for name, records in drained.items():
            self._blocks[name].append(records)

    def write(
        self,
        store: PartStore,
        partition: Partition,
        updates: int,
        attributes: Mapping[str, object],
        word_bins: WordBins | None,
    ) -> None:
        """Write everything as one part that ends with update `updates`.

        Where no update was made since the last part, what came late (a closed interval, a
        validation loss) is added to that.
        """
        records = {name: join_records(found) for name, found in self._blocks.items() if found}
        if len(records["batch"].steps):
            store.write(
                updates - len(records["batch"].steps) + 1,
                partition.layout,
                self.series.columns(),
                records,
                self.valid_losses,
                attributes,
                word_bins,
            )
        else:
            late = {name: found for name, found in records.items() if len(found.steps)}
            if not late and not (updates and self.valid_losses):
                return
            store.append(partition.layout, late, self.valid_losses)
        self._blocks = {name: [] for name in self._blocks}
        self.series.clear()
        self.valid_losses = []
