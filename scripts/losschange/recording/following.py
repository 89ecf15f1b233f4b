"""A recorder that follows one or several optimizers through a training."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from losschange.cube.assembly import assemble_cube
from losschange.errors import RecordingError

from .allocation import FlatVector
from .checks import check_attributes, check_gradients, check_series
from .optimizers import StepWatch, held_parameters, leaves_gradients
from .parameters import fingerprint
from .rates import RateNames
from .recorder import Recorder
from .reliability import ReliabilityWatch
from .same_parameters import SameParameters
from .shards import Shards, local_tensor
from .watching import LayerSums, Watcher

# A number, or a function called when the gradients are there that returns one.
GradientScale = float | Tensor | Callable[[], float | Tensor]


class AttachedRecorder:
    """A recorder that follows optimizers; made by `attach`.

    With several optimizers, an update is made when each of them has stepped once. If one steps
    again before, the others made no step in that update: one that steps less often than others
    must step after them.

    Parameters
    ----------
    model : torch.nn.Module
    named : sequence of (name, parameter)
        Those that are trained.
    optimizers : sequence
        Those that move them.
    recorder : Recorder or None
        None in a data-parallel process that does not write.
    gradient_scale : float or callable
    watchers : sequence of Watcher
    shards : Shards, optional
        The processes among which the parameters are divided.

    Attributes
    ----------
    recorder : Recorder or None
    reliability : ReliabilityWatch
    """

    def __init__(
        self,
        model: torch.nn.Module,
        named: Sequence[tuple[str, torch.nn.Parameter]],
        optimizers: Sequence[Any],
        recorder: Recorder | None,
        gradient_scale: GradientScale,
        watchers: Sequence[Watcher] = (),
        shards: Shards | None = None,
    ):
        self.recorder = recorder
        self._shards = shards
        self._named, self._optimizers = list(named), list(optimizers)
        self._gradient_scale = gradient_scale
        self._series: dict[str, float | Tensor] = {}
        self._described: dict[str, float | Tensor] = {}
        self._stepped: list[int] = []  # which optimizers made their step of this update
        self._watches: list[StepWatch] = []
        if recorder is None:
            return
        self._parameters = [parameter for _, parameter in self._named]
        self._same = SameParameters(model, self._named, self._optimizers)
        self._ended = -1  # the number of updates when open intervals were ended
        # Copies of the gradients, for optimizers that may change them.
        self._copies: FlatVector | None = None
        self._copied = False
        self._rates = RateNames(self._optimizers)
        self._scale: float | Tensor = 1.0
        self.reliability = ReliabilityWatch()
        self._sums = LayerSums(recorder.partition.layout, watchers)
        recorder.on_records = self._sums.add
        self._watches = [
            StepWatch(
                optimizer,
                partial(self._begin, number),
                partial(self._given, number),
                partial(self._end, number),
            )
            for number, optimizer in enumerate(self._optimizers)
        ]

    def describe(self, **series: float | Tensor) -> None:
        """Numbers of the update about to be made, such as loss and tokens.

        Names are those of losschange.cube.format.SERIES; the learning rate is added by itself.
        Tensors are copied at once, and their copies stay on their device until the next `save`.

        Raises
        ------
        RecordingError
            If a name is unknown or a value is not one number.
        """
        self._series |= check_series(series)

    def add_valid_loss(self, loss: float) -> None:
        """Add a validation loss, nats per target token, measured after the last update."""
        if self.recorder is not None:
            self._end_update()
            self.recorder.add_valid_loss(loss)

    def save(self) -> dict[str, Any]:
        """Write all records so far; call it with every checkpoint.

        Records stay in memory until they are on disk: after an error, such as a full disk, it can
        be called again.

        Returns
        -------
        dict
            State to save in the checkpoint and to pass to `attach` when training resumes.
        """
        if self.recorder is None:
            return {}
        self._end_update()
        store = self.recorder.store
        store.marks["parameters"] = fingerprint(self._parameters, self._shards)
        self.recorder.flush()
        self._once(lambda: self.reliability.look(store))
        run: dict[str, Any] = {"id": store.marks.get("run", "")}
        if self._shards is not None:
            run["process"] = [self._shards.rank, self._shards.processes]
        return {"run": run, **self.recorder.state_dict()}

    def close(self) -> None:
        """End the intervals that are still open, at the model's present parameters.

        Raises
        ------
        RecordingError
            If the parameters were moved after the last update, by swapping in averages or the
            best checkpoint, say. Put them back and call it again.
        """
        if self.recorder is None:
            return
        self._end_update()
        values, updates = self._values(), self.recorder.updates
        self.recorder.close(values)
        # Once: when a training has ended, its best checkpoint may be loaded.
        name = None if self._ended == updates else self.recorder.moved(values)
        if name is not None:
            self.reliability.tell(
                "moved",
                f"{name!r} was moved after update {updates}, the last that was recorded, outside "
                "of the optimizer's steps: what that did to the loss is in no cell. Where the "
                "training went on, attach the recorder to what moves the parameters then.",
            )
        self._ended = updates
        if self._series:
            self.reliability.tell(
                "described",
                f"{', '.join(self._series)} were told after the last step. describe() is for the "
                "update about to be made: called after each step, all its numbers stand one late.",
            )

    def finish(
        self, cube: str | os.PathLike[str], attributes: Mapping[str, object] | None = None
    ) -> None:
        """End the recording, detach from the optimizer, and write the cube.

        After an error, such as a full disk, it can be called again: nothing is lost.

        Parameters
        ----------
        cube : path
        attributes : mapping, optional
            Further global attributes of the cube, texts or numbers.
        """
        check_attributes(attributes or {})
        if self.recorder is not None:
            self.close()
            self.save()
            store = self.recorder.store
            about = {**self.recorder.attributes, **(attributes or {})}
            updates = self.recorder.updates

            def assemble() -> None:
                warnings = self.reliability.attributes(store)
                assemble_cube(store, cube, updates, {**about, **warnings})

            self._once(assemble)
            self._sums.show(self.recorder.updates, last=True)
            self._sums.close()
        self.detach()

    def detach(self) -> None:
        """Release the optimizer and the folder; records stay in memory and can be saved."""
        for watch in self._watches:
            watch.remove()
        self._watches = []
        if self.recorder is not None:
            self._end_update()
            self.recorder.store.release()

    def _once(self, function: Callable[[], None]) -> None:
        """Call a function in one of the processes that share the parameters."""
        function() if self._shards is None else self._shards.on_first(function)

    def _values(self) -> list[Tensor]:
        """What this process holds of the parameters now."""
        return [local_tensor(parameter.detach()) for parameter in self._parameters]

    def _begin(self, number: int) -> None:
        """Called before the step of an optimizer."""
        if number in self._stepped:
            self._end_update()
        if self._stepped:
            return
        if self._parameters[0].is_cuda and torch.cuda.is_current_stream_capturing():
            raise RecordingError(
                "the optimizer's step is captured in a CUDA graph, and the recorder would not see "
                "it replayed; let the optimizer step outside of the graph"
            )
        self.recorder.store.check_held()
        self._same.check(self.recorder.updates + 1)
        self.recorder.before_update(self._values())

    def _given(self, number: int, factor: float | Tensor) -> None:
        """Called when an optimizer has the gradients that it uses."""
        if not self._stepped:
            scale = self._gradient_scale
            scale = scale() if callable(scale) else scale
            self._scale = scale.detach().clone() if isinstance(scale, Tensor) else scale
        scaled = isinstance(factor, Tensor) or factor != 1
        alone = len(self._optimizers) == 1 and leaves_gradients(self._optimizers[0])
        self._copied = scaled or not alone
        owned = {id(parameter) for parameter in held_parameters(self._optimizers[number])}
        found = [
            gradient if id(parameter) in owned else None
            for gradient, parameter in zip(self._gradients(), self._parameters, strict=True)
        ]
        check_gradients(self.recorder.partition, found, self.recorder.updates + 1)
        if not self._copied:
            return  # they are still there after the step
        if self._copies is None:
            device = self._parameters[0].device
            self._copies = FlatVector(self.recorder.partition, device)
        pairs = [(v, g) for v, g in zip(self._copies.views, found, strict=True) if g is not None]
        if len(pairs) < len(found) and not self._stepped:
            self._copies.flat.zero_()
        with torch.no_grad():
            views = [view for view, _ in pairs]
            torch._foreach_copy_(views, [gradient for _, gradient in pairs])
            if scaled:
                torch._foreach_mul_(views, factor)

    def _gradients(self) -> list[Tensor | None]:
        """What this process holds of the gradients now."""
        return [
            g if g is None else g.to_dense() if g.is_sparse else local_tensor(g)
            for g in (parameter.grad for parameter in self._parameters)
        ]

    def _end(self, number: int) -> None:
        """Called after the step of an optimizer."""
        if not self._stepped:
            self._described = {}
        rates = self._rates.now(number)
        if "lr" in self._described:
            rates.pop("lr", None)  # that of the optimizer that stepped first counts
        self._described |= rates
        self._stepped.append(number)
        self._described |= self._series
        self._series = {}
        if len(self._stepped) == len(self._optimizers):
            self._end_update()

    def _end_update(self) -> None:
        """Record the update if optimizers have stepped since the last one."""
        if not self._stepped:
            return
        self._stepped = []
        gradients = self._copies.views if self._copied and self._copies else self._gradients()
        self.recorder.after_update(self._values(), gradients, self._scale)
        self.recorder.describe_update(**self._described)
        if self._sums.due(self.recorder.updates):
            self.recorder.drain()
            self._sums.show(self.recorder.updates)
