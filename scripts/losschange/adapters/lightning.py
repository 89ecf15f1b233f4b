"""Recording a training of Lightning's Trainer.

    callback = LossChangeCallback(schema, "parts", "cube.nc")
    Trainer(..., callbacks=[callback]).fit(module, data)

Gradients are those of the loss that `training_step` returns, averaged over the batches and
processes of an update, before they are clipped.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

import torch
from lightning.pytorch import Callback
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from torch import Tensor

from losschange.errors import RecordingError
from losschange.recording.attachment import attach
from losschange.recording.following import AttachedRecorder
from losschange.recording.measures import FreshLoss, Loss
from losschange.recording.parameters import trainable_parameters
from losschange.recording.partition import Schema

from .gradients import ClippingWatch, gradient_norm


class LossChangeCallback(Callback):
    """Attaches the recorder when training starts, and writes the cube when it ends.

    The recorder's state is part of every checkpoint, so training can be resumed with `ckpt_path`
    as usual. float32 and bf16-mixed are recorded; fp16 is refused. Supported is one optimizer with
    automatic optimization, on one device or with the strategy "ddp".

    Parameters
    ----------
    schema : Schema or None
        Which parameter belongs to which cell, by its name in the LightningModule. None: that of
        losschange.schema_for.
    folder : path
        Folder for the parts of the cube: empty, or that of the training to resume.
    cube : path
        Written when training ends.
    probes : mapping of {"train", "valid"} to callable (module) -> loss, optional
        Loss of a batch that never changes, on the module's device, in nats per target token.
    fresh : callable (module, update) -> loss, optional
        Loss of a new batch that is drawn for this update.
    valid_loss : str
        Name under which `validation_step` logs the loss.
    tokens : callable (batch) -> int or Tensor, optional
        Number of target tokens of a batch.
    options
        Options of losschange.attach: estimators, details, word_bins, quadrature,
        simpson_tolerance, attributes, watchers.
    """

    def __init__(
        self,
        schema: Schema | None,
        folder: str | os.PathLike,
        cube: str | os.PathLike,
        probes: Mapping[str, Loss] | None = None,
        fresh: FreshLoss | None = None,
        valid_loss: str = "val_loss",
        tokens: Callable[[object], int | Tensor] | None = None,
        **options,
    ):
        self._schema = schema
        self._folder = folder
        self._cube = cube
        self._options = options
        self._probes = dict(probes or {})
        self._fresh = fresh
        self._valid_loss = valid_loss
        self._count_tokens = tokens
        self._attached: AttachedRecorder | None = None
        self._state: dict = {}

    def on_train_start(self, trainer, pl_module):
        _refuse(trainer, pl_module)
        self._parameters = [parameter for _, parameter in trainable_parameters(pl_module)]
        self._clipping = ClippingWatch(self._parameters)
        self._mean = 1.0
        self._clear()
        self._attached = attach(
            pl_module,
            trainer.optimizers[0],
            self._schema,
            self._folder,
            probes={split: _as_in_training(loss, trainer) for split, loss in self._probes.items()},
            fresh=self._fresh and _as_in_training(self._fresh, trainer),
            updates=trainer.global_step,
            state=self._state,
            gradient_scale=lambda: self._clipping.undo() * self._mean,
            **self._options,
        )

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if self._count_tokens is not None:
            self._tokens = self._tokens + self._count_tokens(batch)

    def on_before_backward(self, trainer, pl_module, loss):
        self._loss = self._loss + loss.detach()
        self._batches += 1

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        if self._attached is None:
            return
        # Lightning divides by the configured number of batches, but the last update of an epoch
        # may have fewer.
        self._mean = trainer.accumulate_grad_batches / max(1, self._batches)
        self._clipping.before()
        series = {"grad_norm": gradient_norm(self._parameters) * self._mean}
        if self._batches:
            series["loss"] = trainer.strategy.reduce(self._loss, reduce_op="mean") * self._mean
        if self._count_tokens is not None:
            tokens = torch.as_tensor(self._tokens, device=pl_module.device)
            tokens = trainer.strategy.reduce(tokens, reduce_op="sum")
            series |= {"tokens": tokens, "sample_size": tokens}
        self._attached.describe(**series)
        self._clear()

    def on_validation_end(self, trainer, pl_module):
        loss = trainer.callback_metrics.get(self._valid_loss)
        if self._attached is not None and loss is not None and not trainer.sanity_checking:
            self._attached.add_valid_loss(float(loss))

    def state_dict(self):
        if self._attached is not None:
            self._state = self._attached.save()
        return {"recorder": self._state}

    def load_state_dict(self, state_dict):
        self._state = state_dict["recorder"]

    def on_train_end(self, trainer, pl_module):
        if self._attached is not None:
            self._attached.finish(self._cube)
        # All intervals are closed: a later checkpoint contains no open interval to resume.
        self._attached, self._state = None, {}

    def on_exception(self, trainer, pl_module, exception):
        # Keep the recorder: Lightning may save a checkpoint because of the exception.
        if self._attached is not None:
            self._attached.detach()

    def _clear(self) -> None:
        self._loss, self._batches, self._tokens = 0.0, 0, 0


def _as_in_training(function: Callable[..., Tensor], trainer) -> Callable[..., Tensor]:
    """Wrap a loss function so that it runs in the precision of the training."""

    def loss(*arguments) -> Tensor:
        with trainer.precision_plugin.forward_context():
            return function(*arguments)

    return loss


def _refuse(trainer, module) -> None:
    """Raise RecordingError for trainings whose updates this callback cannot observe."""
    if trainer.precision in ("16-mixed", "16-true"):
        raise RecordingError(
            f'precision="{trainer.precision}" scales the loss and skips updates that overflow, '
            'which a callback cannot tell from the others; train with "bf16-mixed" or "32-true"'
        )
    if not module.automatic_optimization or len(trainer.optimizers) != 1:
        raise RecordingError(
            f"{type(module).__name__} has {len(trainer.optimizers)} optimizers and "
            f"automatic_optimization={module.automatic_optimization}; the callback follows one "
            "optimizer that Lightning steps: otherwise use losschange.attach"
        )
    strategy = trainer.strategy
    whole = isinstance(strategy, SingleDeviceStrategy | DDPStrategy)
    if not whole or strategy.handles_gradient_accumulation:
        raise RecordingError(
            f"{type(strategy).__name__} keeps the model in pieces; the recorder needs whole "
            'parameters and gradients, as with one device or strategy="ddp"'
        )
    if trainer.gradient_clip_val and trainer.gradient_clip_algorithm == "value":
        raise RecordingError(
            'gradient_clip_algorithm="value" changes gradients one by one, and what they were is '
            'not known afterwards; clip by "norm"'
        )
