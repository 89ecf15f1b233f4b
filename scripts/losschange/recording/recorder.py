"""The recorder: looks at a training run before and after every update.

It knows tensors, not frameworks: whoever runs the training hands over the parameters that the
optimizer moves and the gradients that it used, and functions that measure probes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from losschange.cube.format import PROBES
from losschange.cube.parts import PartStore, Records, join_records
from losschange.cube.word_bins import WordBins
from losschange.errors import RecordingError

from .allocation import CellSum, ExtraReductions, FlatVector
from .checks import check_estimators, check_finite, check_gradients, check_shapes, check_word_bins
from .finite import FiniteWatch
from .movement import MovementCheck
from .partition import Partition
from .probe_integrator import LOSSES, Gradients, Measure
from .probe_schedule import ProbeSchedule, make_schedules
from .record_buffer import RecordBuffer
from .series import Series


class Recorder:
    """Records the loss change allocation of every update, under any set of estimators.

    Use `before_update` just before the optimizer moves the parameters, `after_update` just after,
    then `describe_update` with the numbers of the step; `flush` together with a checkpoint, and
    `close` after the last update.

    Parameters
    ----------
    partition : Partition
    store : PartStore
        Where `flush` writes what was recorded since the last flush.
    device : torch device
        Where the parameters live, and one float32 copy of them for `batch`, three with probes.
    updates : int
        Updates made before this recorder was attached (0, or those of the checkpoint).
    attributes : mapping
        Global attributes of the parts.
    strides : mapping of estimator to int
        Updates between two records (names of losschange.cube.format.ESTIMATORS); "batch" is always
        recorded at every update.
    probes : mapping of {"train", "valid"} to Measure
        What the estimators of losschange.cube.format.PROBES look at.
    fresh : callable (update) -> gradients, optional
        Gradient of a newly drawn batch at the model's present parameters, for "fresh".
    details : mapping of estimator to sequence of str
        Some of "positive", "helped" and "vocabulary", to stand beside its records.
    word_bins : WordBins, optional
        Needed for "vocabulary".
    simpson_tolerance : float or "adaptive", optional
        Nats. Simpson's rule splits an interval, up to `probe_integrator.MOST_PIECES` pieces, until
        its allocations miss the measured change of the loss by no more (Lan et al. 2019 split to
        0.001); "adaptive": by no more than 1 % of it. Costs one wait for the device per record.
        None: never split.

    Attributes
    ----------
    on_records : callable (mapping of estimator to Records) or None
        Called with all records once, when they come to the host.

    Raises
    ------
    RecordingError
        Naming the update and the cell or parameter: if an allocation is not a finite number, the
        parameters are not those of the partition or moved between two updates, an estimator is
        unknown or has no probe, or the beginning of an open interval is missing. Once an update
        was wrong, nothing more is recorded or written.
    """

    def __init__(
        self,
        partition: Partition,
        store: PartStore,
        device: torch.device | str = "cpu",
        updates: int = 0,
        attributes: Mapping[str, object] | None = None,
        strides: Mapping[str, int] | None = None,
        probes: Mapping[str, Measure] | None = None,
        fresh: Callable[[int], Gradients] | None = None,
        details: Mapping[str, Sequence[str]] | None = None,
        word_bins: WordBins | None = None,
        simpson_tolerance: float | str | None = None,
    ):
        self.partition = partition
        self.store = store
        self.updates = updates
        self.attributes = dict(attributes or {})
        others = {name: every for name, every in (strides or {}).items() if name != "batch"}
        self.strides = {"batch": 1, **others}
        details = dict(details or {})
        check_estimators(self.strides, list(probes or {}), fresh is not None, details)
        check_word_bins(partition, details, word_bins)
        self._row = FlatVector(partition, device)
        self._device = device
        self._cell_sum = CellSum(partition, device)
        self._word_bins = word_bins
        self._details = {
            name: ExtraReductions(
                partition, self._cell_sum, details.get(name, ()), word_bins, device
            )
            for name in self.strides
        }
        self._rings = {name: self._ring(name) for name in self.strides}
        self._intervals = make_schedules(
            partition,
            self._cell_sum,
            self.strides,
            probes or {},
            simpson_tolerance,
            self._details,
            device,
        )
        self._fresh = fresh
        self._fresh_gradient: Gradients | None = None
        self._movement = MovementCheck(partition, device)
        self._finite = FiniteWatch(device)
        self._blocks: dict[str, list[Records]] = {name: [] for name in self.strides}
        self._series = Series()
        self._valid_losses: list[tuple[int, float]] = []
        self._pending = False
        self._checked: list[int] = []
        self._failure: RecordingError | None = None
        self.on_records: Callable[[Mapping[str, Records]], None] | None = None

    @torch.no_grad()
    def before_update(self, parameters: Sequence[Tensor]) -> None:
        """Keep theta_t. `parameters` are float32 and in the order of the partition's names."""
        self._refuse_after_failure()
        identities = [id(parameter) for parameter in parameters]
        if identities != self._checked:
            shapes = tuple(tuple(parameter.shape) for parameter in parameters)
            check_shapes(self.partition, shapes, self.updates + 1)
            self._checked = identities
        for intervals in self._intervals:
            if intervals.start is None:
                self._begin(intervals, parameters)
        if "fresh" in self.strides and (self.updates + 1) % self.strides["fresh"] == 0:
            self._fresh_gradient = self._fresh(self.updates + 1)
        self._row.copy(parameters)
        self._movement.before(self._row.flat)
        self._pending = True

    @torch.no_grad()
    def after_update(
        self,
        parameters: Sequence[Tensor],
        gradients: Gradients,
        scale: float | Tensor = 1.0,
    ) -> None:
        """Allocate the update that was just made.

        Parameters
        ----------
        parameters : sequence of Tensor
            theta_{t+1}.
        gradients : sequence of Tensor or None
            Gradient that the optimizer used, of the loss in nats per target token once
            multiplied by `scale`.
        scale : float or scalar Tensor
            What the gradients must still be multiplied by.
        """
        if not self._pending:
            raise RecordingError(f"update {self.updates + 1}: after_update without before_update")
        check_gradients(self.partition, gradients, self.updates + 1)
        self._pending = False
        self.updates += 1
        self._row.subtract(parameters)
        self._movement.after(self._row.flat)
        self._end([due for due in self._intervals if self.updates % due.stride == 0], parameters)
        if self._fresh_gradient is not None:
            products = FlatVector(self.partition, self._device).copy(self._fresh_gradient)
            products.flat.mul_(self._row.flat)
            self._add("fresh", products)
            self._fresh_gradient = None
        # Last: the gradient is multiplied into the step itself.
        self._row.multiply(gradients)
        self._add("batch", self._row, scale)
        if self._rings["batch"].full or self._finite.lost():
            self.drain()

    def describe_update(self, **series: float | Tensor) -> None:
        """Add the per-step numbers (names of losschange.cube.format.SERIES) of the last update."""
        self._series.add(series)

    def add_valid_loss(self, loss: float) -> None:
        """Add a validation loss, nats per target token, measured after the last update."""
        self._valid_losses.append((self.updates, float(loss)))

    @torch.no_grad()
    def close(self, parameters: Sequence[Tensor]) -> None:
        """End the intervals that are open after the last update, so that nothing is left out."""
        begun = [intervals for intervals in self._intervals if intervals.start is not None]
        open_now = [one for one in begun if one.start < self.updates]
        if not open_now:
            return
        self._refuse_after_failure()
        row = FlatVector(self.partition, self._device).copy(parameters).flat
        self._movement.check_still(row, self.updates)
        self._end(open_now, parameters)

    def flush(self) -> None:
        """Write everything recorded since the last flush as one part.

        What was recorded is kept until it is written, so after an error it can be called again.
        """
        self.drain()
        records = {name: join_records(b) for name, b in self._blocks.items() if b}
        if len(records["batch"].steps):
            self.store.write(
                self.updates - len(records["batch"].steps) + 1,
                self.partition.layout,
                self._series.columns(),
                records,
                self._valid_losses,
                self.attributes,
                self._word_bins,
            )
        else:
            late = {name: found for name, found in records.items() if len(found.steps)}
            if not late and not (self.updates and self._valid_losses):
                return
            self.store.append(self.partition.layout, late, self._valid_losses)
        self._blocks = {name: [] for name in self.strides}
        self._series.clear()
        self._valid_losses = []

    def state_dict(self) -> dict[str, dict]:
        """Intervals that are open now; save it with a checkpoint."""
        states = {str(one.stride): one.state_dict(self.updates) for one in self._intervals}
        return {stride: state for stride, state in states.items() if state}

    def load_state_dict(self, state: Mapping[str, Mapping]) -> None:
        """Go on with the intervals that were open when the checkpoint was made."""
        for intervals in self._intervals:
            found = state.get(str(intervals.stride))
            # An interval that was closed after the checkpoint is complete.
            closed = found and self.store.last_record(intervals.estimators[0]) > found["start"]
            if found and not closed:
                intervals.load_state_dict(found)

    def _ring(self, name: str) -> RecordBuffer:
        losses = dict.fromkeys(LOSSES, ()) if name in PROBES else {}
        shapes = {**losses, **self._details[name].shapes}
        return RecordBuffer(len(self.partition.layout.cells), shapes, self._device)

    def _begin(self, intervals: ProbeSchedule, parameters: Sequence[Tensor]) -> None:
        for name in intervals.estimators:
            last = self.store.last_record(name) if self.updates else 0
            if last != self.updates:
                raise RecordingError(
                    f"the interval of {name!r} around update {self.updates} began at update "
                    f"{last}, and how it began is not known. Save the recorder's state_dict with "
                    f"every checkpoint, or checkpoint every {intervals.stride} updates"
                )
        intervals.begin(self.updates, parameters)

    def _end(self, due: Sequence[ProbeSchedule], parameters: Sequence[Tensor]) -> None:
        looks: dict[Measure, tuple[Tensor, FlatVector]] = {}
        for intervals in due:
            records = intervals.end(self.updates, parameters, self._row, looks)
            for name, columns in records.items():
                self._rings[name].add(self.updates, columns)

    def _add(self, name: str, products: FlatVector, scale: float | Tensor = 1.0) -> None:
        """Add the record of a row of negative allocations, which is overwritten."""
        cells = self._cell_sum(products.flat).mul_(-1.0).mul_(scale)
        self._finite.add(cells)
        extra = self._details[name]
        columns = [c if n == "helped" else c * scale for n, c in zip(extra.names, extra(products))]
        self._rings[name].add(self.updates, [cells, *columns])

    def drain(self) -> None:
        """Bring what was recorded from the device to the host, and hand it to `on_records`."""
        self._refuse_after_failure()
        first = self.updates + 1 - len(self._rings["batch"])
        try:
            self._movement.check(first)
            drained = {name: ring.drain() for name, ring in self._rings.items()}
            check_finite(drained, self.partition)
        except RecordingError as error:
            self._failure = error
            raise
        for name, records in drained.items():
            self._blocks[name].append(records)
        if self.on_records is not None:
            self.on_records(drained)

    def _refuse_after_failure(self) -> None:
        if self._failure is not None:
            raise RecordingError(str(self._failure)) from self._failure
