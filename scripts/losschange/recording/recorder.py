"""The recorder: called before and after every update of a training.

It knows tensors and no framework: the caller hands over the parameters that the optimizer moves,
the gradients that it used, and functions that measure probes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from losschange.cube.estimators import parse_estimator
from losschange.cube.parts import PartStore, Records
from losschange.cube.word_bins import WordBins
from losschange.errors import RecordingError

from .allocation import CellSum, ExtraReductions, FlatVector
from .checks import check_estimators, check_finite, check_gradients, check_shapes, check_word_bins
from .finite import FiniteWatch
from .movement import MovementCheck
from .partition import Partition
from .probe_integrator import LOSSES, Evaluation, Gradients, Measure
from .probe_schedule import ProbeSchedule, make_schedules
from .record_buffer import RecordBuffer
from .single_updates import gradients_at_start
from .step_products import StepProducts
from .unwritten import Unwritten


class Recorder:
    """Records the loss change allocation of every update, under any set of estimators.

    Use `before_update` just before the optimizer moves the parameters, `after_update` just after,
    then `describe_update` with the numbers of the step; `flush` together with a checkpoint, and
    `close` after the last update.

    Parameters
    ----------
    partition : Partition
    store : PartStore
        Destination to which `flush` writes the records since the last flush.
    device : torch device
        Where the parameters live, and one float32 copy of them for `batch`, three with probes.
    updates : int
        Updates made before this recorder was attached (0, or those of the checkpoint).
    attributes : mapping
        Global attributes of the parts.
    strides : mapping of estimator to int
        Updates between two records (names of losschange.cube.estimators); "batch" is always
        recorded at every update.
    probes : mapping of text to Measure
        Losses and gradients for the rules "exact", "probe" and "simpson".
    fresh : mapping of text to callable (update) -> gradients
        Gradient of a newly drawn batch at the model's present parameters, for the rule "fresh".
        A record of each keeps one more float32 copy of the parameters during the update.
    details : mapping of estimator to sequence of str
        Some of "positive", "helped" and "vocabulary", to stand beside its records.
    word_bins : WordBins, optional
        Needed for "vocabulary".
    simpson_tolerance : float or "adaptive", optional
        Nats. Simpson's rule splits an interval, up to `probe_integrator.MOST_PIECES` pieces, until
        its allocations miss the measured change of the loss by no more (Lan et al. 2019 split to
        0.001); "adaptive": by no more than 1 % of it. Costs one wait for the device per record.
        None: never split.
    add_up : callable (tensor) -> tensor, optional
        As CellSum takes it, where several processes, which all make the same calls, share scalars.

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
        fresh: Mapping[str, Callable[[int], Gradients]] | None = None,
        details: Mapping[str, Sequence[str]] | None = None,
        word_bins: WordBins | None = None,
        simpson_tolerance: float | str | None = None,
        add_up: Callable[[Tensor], Tensor] | None = None,
    ):
        self.partition = partition
        self.store = store
        self.updates = updates
        self.attributes = dict(attributes or {})
        others = {name: every for name, every in (strides or {}).items() if name != "batch"}
        self.strides = {"batch": 1, **others}
        details = dict(details or {})
        check_estimators(self.strides, list(probes or {}), list(fresh or {}), details)
        check_word_bins(partition, details, word_bins)
        # theta_t before an update; after it, first theta_t - theta_{t+1}, then the products.
        self._vector = FlatVector(partition, device)
        self._device = device
        self._cell_sum = CellSum(partition, device, add_up)
        self._word_bins = word_bins
        common = partition, self._cell_sum
        self._details = {
            name: ExtraReductions(*common, details.get(name, ()), word_bins, device)
            for name in self.strides
        }
        self._buffers = {name: self._buffer(name) for name in self.strides}
        self._schedules = make_schedules(
            *common, self.strides, probes or {}, simpson_tolerance, self._details, device
        )
        self._fresh = gradients_at_start(self.strides, probes or {}, fresh or {})
        self._fresh_gradients: dict[str, Gradients] = {}
        # Details of "batch" need the products of all parameters at once.
        at_once = bool(self._details["batch"].names)
        self._step_products = StepProducts(partition, self._vector, self._cell_sum, at_once)
        self._movement = MovementCheck(partition, device)
        self._finite = FiniteWatch(device)
        self._unwritten = Unwritten(self.strides)
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
        for schedule in self._schedules:
            if schedule.start is None:
                self._begin(schedule, parameters)
        for name, fresh in self._fresh.items():
            if (self.updates + 1) % self.strides[name] == 0:
                self._fresh_gradients[name] = fresh(self.updates + 1)
        self._vector.copy(parameters)
        self._movement.before(self._vector.flat)
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
            Factor by which the gradients must still be multiplied.
        """
        if not self._pending:
            raise RecordingError(f"update {self.updates + 1}: after_update without before_update")
        check_gradients(self.partition, gradients, self.updates + 1)
        self._pending = False
        self.updates += 1
        batch = self._step_products(parameters, gradients)
        self._movement.after(self._vector.flat)
        self._end([due for due in self._schedules if self.updates % due.stride == 0], parameters)
        for name, gradient in self._fresh_gradients.items():
            products = FlatVector(self.partition, self._device).copy(gradient)
            products.flat.mul_(self._vector.flat)
            self._add(name, products)
        self._fresh_gradients = {}
        if batch is not None:
            self._add_cells("batch", batch.mul_(scale))
        else:
            # Last, because it overwrites the step with its product.
            self._vector.multiply(gradients)
            self._add("batch", self._vector, scale)
        if self._buffers["batch"].full or self._finite.lost():
            self.drain()

    def describe_update(self, **series: float | Tensor) -> None:
        """Add the per-step numbers (names of losschange.cube.format.SERIES) of the last update."""
        self._unwritten.series.add(series)

    def add_valid_loss(self, loss: float) -> None:
        """Add a validation loss, nats per target token, measured after the last update."""
        self._unwritten.valid_losses.append((self.updates, float(loss)))

    @torch.no_grad()
    def close(self, parameters: Sequence[Tensor]) -> None:
        """End the intervals that are open after the last update, so that nothing is left out."""
        open_now = [
            schedule
            for schedule in self._schedules
            if schedule.start is not None and schedule.start < self.updates
        ]
        if not open_now:
            return
        self._refuse_after_failure()
        self._movement.check_still(parameters, self.updates)
        self._end(open_now, parameters)

    def moved(self, parameters: Sequence[Tensor]) -> str | None:
        """Name of a parameter that was moved since the last update; None if there is none."""
        return self._movement.moved(parameters)

    def flush(self) -> None:
        """Write everything recorded since the last flush as one part.

        Records stay in memory until they are written, so after an error it can be called again.
        """
        self.drain()
        self._unwritten.write(
            self.store, self.partition, self.updates, self.attributes, self._word_bins
        )

    def state_dict(self) -> dict[str, dict[str, Any]]:
        """Intervals that are open now; save it with a checkpoint."""
        states = {str(one.stride): one.state_dict(self.updates) for one in self._schedules}
        return {stride: state for stride, state in states.items() if state}

    def load_state_dict(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Resume the intervals that were open when the checkpoint was made."""
        for schedule in self._schedules:
            found = state.get(str(schedule.stride))
            # An interval that was closed after the checkpoint is complete.
            closed = found and self.store.last_record(schedule.estimators[0]) > found["start"]
            if found and not closed:
                schedule.load_state_dict(found)

    def _buffer(self, name: str) -> RecordBuffer:
        shapes: dict[str, tuple[int, ...]] = {}
        if parse_estimator(name).is_probe:
            shapes |= dict.fromkeys(LOSSES, ())
        shapes |= self._details[name].shapes
        return RecordBuffer(len(self.partition.layout.cells), shapes, self._device)

    def _begin(self, schedule: ProbeSchedule, parameters: Sequence[Tensor]) -> None:
        for name in schedule.estimators:
            last = self.store.last_record(name) if self.updates else 0
            if last != self.updates:
                raise RecordingError(
                    f"the interval of {name!r} around update {self.updates} began at update "
                    f"{last}, and how it began is not known. Save the recorder's state_dict with "
                    f"every checkpoint, or checkpoint every {schedule.stride} updates"
                )
        schedule.begin(self.updates, parameters)

    def _end(self, due: Sequence[ProbeSchedule], parameters: Sequence[Tensor]) -> None:
        evaluations: dict[Measure, Evaluation] = {}
        for schedule in due:
            records = schedule.end(self.updates, parameters, self._vector, evaluations)
            for name, columns in records.items():
                self._buffers[name].add(self.updates, columns)

    def _add(self, name: str, products: FlatVector, scale: float | Tensor = 1.0) -> None:
        """Add the record of −LCA of every parameter, which is overwritten."""
        cells = self._cell_sum.allocations(products).mul_(scale)
        extra = self._details[name]
        columns = [c if n == "helped" else c * scale for n, c in zip(extra.names, extra(products))]
        self._add_cells(name, cells, columns)

    def _add_cells(self, name: str, cells: Tensor, columns: Sequence[Tensor] = ()) -> None:
        self._finite.add(cells)
        self._buffers[name].add(self.updates, [cells, *columns])

    def drain(self) -> None:
        """Copy all new records from the device to the host, and pass them to `on_records`."""
        self._refuse_after_failure()
        first = self.updates + 1 - len(self._buffers["batch"])
        try:
            self._movement.check(first)
            drained = {name: buffer.drain() for name, buffer in self._buffers.items()}
            check_finite(drained, self.partition)
        except RecordingError as error:
            self._failure = error
            raise
        self._unwritten.add(drained)
        if self.on_records is not None:
            self.on_records(drained)

    def _refuse_after_failure(self) -> None:
        if self._failure is not None:
            raise RecordingError(str(self._failure)) from self._failure
