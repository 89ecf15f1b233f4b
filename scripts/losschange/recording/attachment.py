"""Attaching the recorder to a training loop of plain PyTorch.

    recorder = attach(model, optimizer, schema, "parts", probes={"train": probe_loss})
    ...                                  # the training loop as it was
    recorder.finish("cube.nc")

The optimizer's own hooks tell when it steps, so nothing in the loop changes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from losschange.cube.assembly import assemble_cube
from losschange.cube.estimators import TRAIN
from losschange.cube.parts import PartStore
from losschange.cube.word_bins import WordBins
from losschange.errors import RecordingError

from .measures import FreshGradient, FreshLoss, Loss, ProbeLoss
from .partition import Schema, partition_parameters
from .recorder import Recorder


class AttachedRecorder:
    """A recorder that follows an optimizer; made by `attach`.

    Attributes
    ----------
    recorder : Recorder or None
        None in a data-parallel process that does not write.
    """

    def __init__(self, model, optimizer, recorder: Recorder | None, gradient_scale):
        self.recorder = recorder
        self._optimizer = optimizer
        self._gradient_scale = gradient_scale
        self._series: dict[str, float | Tensor] = {}
        if recorder is None:
            self._named, self._hooks = [], []
            return
        self._named = trainable_parameters(model)
        self._trained = {id(parameter) for _, parameter in self._named}
        self._known = {id(parameter) for parameter in _parameters_of(optimizer)}
        self._hooks = [
            optimizer.register_step_pre_hook(self._before),
            optimizer.register_step_post_hook(self._after),
        ]

    def describe(self, **series: float | Tensor) -> None:
        """Numbers of the update about to be made, such as loss and tokens.

        Names are those of losschange.cube.format.SERIES; the learning rate is added by itself.
        Tensors stay on their device until the next `save`.
        """
        self._series |= {
            name: value.detach() if isinstance(value, Tensor) else value
            for name, value in series.items()
        }

    def add_valid_loss(self, loss: float) -> None:
        """Add a validation loss, nats per target token, measured after the last update."""
        if self.recorder is not None:
            self.recorder.add_valid_loss(loss)

    def save(self) -> dict:
        """Write what was recorded so far; call it with every checkpoint.

        Returns
        -------
        dict
            State to keep in the checkpoint and to give to `attach` when training goes on.
        """
        if self.recorder is None:
            return {}
        self.recorder.flush()
        return self.recorder.state_dict()

    def finish(
        self, cube: str | os.PathLike, attributes: Mapping[str, object] | None = None
    ) -> None:
        """End the recording, let go of the optimizer, and write the cube.

        Parameters
        ----------
        cube : path
        attributes : mapping, optional
            Further global attributes of the cube.
        """
        self.detach()
        if self.recorder is None:
            return
        self.recorder.close([parameter for _, parameter in self._named])
        self.recorder.flush()
        about = {**self.recorder.attributes, **(attributes or {})}
        assemble_cube(self.recorder.store, cube, self.recorder.updates, about)

    def detach(self) -> None:
        """Let go of the optimizer; what was recorded stays."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def _before(self, optimizer, arguments, options) -> None:
        self._check_parameters()
        self.recorder.before_update([parameter for _, parameter in self._named])

    def _after(self, optimizer, arguments, options) -> None:
        scale = self._gradient_scale
        self.recorder.after_update(
            [parameter for _, parameter in self._named],
            [parameter.grad for _, parameter in self._named],
            scale() if callable(scale) else scale,
        )
        rate = optimizer.param_groups[0]["lr"]
        self.recorder.describe_update(**{"lr": rate, **self._series})
        self._series = {}

    def _check_parameters(self) -> None:
        """Raise RecordingError if what is trained is no longer what the recorder was made for."""
        update = self.recorder.updates + 1
        held = _parameters_of(self._optimizer)
        for position, parameter in enumerate(held):
            if id(parameter) not in self._known:
                raise RecordingError(
                    f"update {update}: the optimizer was given a parameter of shape "
                    f"{tuple(parameter.shape)} (number {position}) in mid-training; attach a new "
                    "recorder to a new folder when parameters come or go"
                )
            if parameter.requires_grad and id(parameter) not in self._trained:
                raise RecordingError(
                    f"update {update}: a parameter of shape {tuple(parameter.shape)} (number "
                    f"{position} of the optimizer), frozen before, is trained now; attach a new "
                    "recorder to a new folder when parameters come or go"
                )
        for name, parameter in self._named:
            if not parameter.requires_grad:
                raise RecordingError(
                    f"update {update}: {name!r} was frozen in mid-training; attach a new recorder "
                    "to a new folder when parameters come or go"
                )


def attach(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    schema: Schema,
    folder: str | os.PathLike,
    estimators: Mapping[str, int] | Iterable[str] = ("batch",),
    probes: Mapping[str, Loss] | None = None,
    fresh: FreshLoss | Mapping[str, FreshLoss] | None = None,
    details: Mapping[str, Sequence[str]] | None = None,
    word_bins: WordBins | None = None,
    simpson_tolerance: float | None = None,
    updates: int = 0,
    state: Mapping[str, Mapping] | None = None,
    attributes: Mapping[str, object] | None = None,
    gradient_scale: float | Callable[[], float | Tensor] = 1.0,
) -> AttachedRecorder:
    """Record every step of an optimizer from now on.

    Parameters
    ----------
    model : torch.nn.Module
        Its trainable parameters are recorded, tied ones once. With data parallelism, the wrapped
        module or the wrapper: only the process of rank 0 records.
    optimizer : torch.optim.Optimizer
        Moves float32 parameters of the model.
    schema : Schema
        Which parameter belongs to which cell.
    folder : path
        For the parts of the cube; empty, or that of the training that goes on.
    estimators : mapping of name to stride, or iterable of names
        Names of losschange.cube.estimators; stride = updates between two records, 1
        without it.
    probes : mapping of text to callable (model) -> loss
        Loss of a batch that never changes, in nats per target token. Called without dropout.
    fresh : callable (model, update) -> loss, or mapping of text to such callables
        Loss of a batch newly drawn for that update. Called with dropout. A callable alone is that
        of the training text.
    details : mapping of estimator to sequence of str
        Some of "positive", "helped", "vocabulary".
    word_bins : WordBins, optional
    simpson_tolerance : float, optional
        Nats: intervals are split for Simpson's rule until their error is at most this.
    updates : int
        Updates made before (those of the checkpoint that training goes on from).
    state : mapping, optional
        What `AttachedRecorder.save` returned at that checkpoint.
    attributes : mapping, optional
        Global attributes of the cube, such as {"model": ..., "objective": ...}.
    gradient_scale : float or callable
        What gradients must be multiplied by to be those of the mean loss, if it is not 1.

    Raises
    ------
    RecordingError
        If a trainable parameter is not float32, the optimizer does not hold it or holds one that
        the model does not have, or an estimator is unknown or lacks its probe.
    CubeError
        If the folder holds another training, model or schema.
    PartitionError
        Naming a parameter that the schema does not claim, or claims twice.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        model = getattr(model, "module", model)
        if torch.distributed.get_rank() != 0:
            return AttachedRecorder(model, optimizer, None, gradient_scale)
    named = trainable_parameters(model)
    _check_optimizer(named, optimizer)
    strides = dict(estimators) if isinstance(estimators, Mapping) else dict.fromkeys(estimators, 1)
    if fresh is None or isinstance(fresh, Mapping):
        fresh_losses = dict(fresh or {})
    else:
        fresh_losses = {TRAIN: fresh}
    store = PartStore(folder)
    partition = partition_parameters(((name, p.shape) for name, p in named), schema)
    parameters = [parameter for _, parameter in named]
    recorder = Recorder(
        partition,
        store,
        parameters[0].device,
        updates,
        attributes,
        strides,
        {text: ProbeLoss(model, parameters, loss) for text, loss in (probes or {}).items()},
        {text: FreshGradient(model, parameters, loss) for text, loss in fresh_losses.items()},
        details,
        word_bins,
        simpson_tolerance,
    )
    # Last, for it drops parts: nothing is lost when something above is refused.
    store.begin(partition.layout, updates)
    recorder.load_state_dict(state or {})
    return AttachedRecorder(model, optimizer, recorder, gradient_scale)


def trainable_parameters(model: torch.nn.Module) -> list[tuple[str, torch.nn.Parameter]]:
    """Names and parameters that require a gradient, tied ones once."""
    return [(name, p) for name, p in model.named_parameters() if p.requires_grad]


def _parameters_of(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _check_optimizer(named, optimizer: torch.optim.Optimizer) -> None:
    held = {id(parameter): parameter for parameter in _parameters_of(optimizer)}
    for name, parameter in named:
        if parameter.dtype != torch.float32:
            raise RecordingError(
                f"{name!r} is {parameter.dtype}, whose steps are rounded away; train float32 "
                "parameters, with torch.autocast for speed"
            )
        if held.pop(id(parameter), None) is None:
            raise RecordingError(
                f"the optimizer does not hold the trainable parameter {name!r}; give it to the "
                "optimizer, or freeze it with requires_grad_(False)"
            )
    for parameter in held.values():
        if parameter.requires_grad:
            raise RecordingError(
                f"the optimizer moves a parameter of shape {tuple(parameter.shape)} that the "
                "model does not have; attach the recorder to the whole model"
            )
