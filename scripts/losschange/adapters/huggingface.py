"""Recording a training of Hugging Face's Trainer.

    callback = LossChangeCallback(gpt2_schema(12, 12), "parts", "cube.nc")
    Trainer(..., callbacks=[callback]).train()

Gradients are those of the loss that the Trainer minimises, before clipping. This loss is the mean
over all target tokens of an update, over all its batches and processes. Models that divide the loss
of each batch by its own number of targets, such as BART, T5 and Marian, minimise the mean over
batches.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor
from transformers import TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from losschange.errors import RecordingError
from losschange.recording.attachment import attach
from losschange.recording.following import AttachedRecorder
from losschange.recording.measures import FreshLoss, Loss
from losschange.recording.parameters import trainable_parameters
from losschange.recording.partition import Schema

from .gradients import ClippingWatch, gradient_norm
from .huggingface_loss import UpdateLoss

STATE_FILE = "losschange.pt"


class LossChangeCallback(TrainerCallback):
    """Attaches the recorder when training begins, and writes the cube when it ends.

    The recorder's state is saved in every checkpoint's folder as `losschange.pt`, so training can
    be resumed with `resume_from_checkpoint` as usual. float32 and bf16 are recorded; fp16 is
    refused. The factor between the optimizer's gradients and those of the mean loss is measured.
    If the model does not compute the loss itself (label smoothing, compute_loss_func), the loss
    must be a cross-entropy of the logits, and the series `loss` is not recorded.

    Parameters
    ----------
    schema : Schema or None
        Which parameter belongs to which cell, such as losschange.gpt2_schema(12, 12). None:
        that of losschange.schema_for.
    folder : path
        Folder for the parts of the cube: empty, or that of the training to resume.
    cube : path
        Written when training ends.
    probes : mapping of {"train", "valid"} to batch or callable (model) -> loss
        A batch is a dictionary with labels, as input of the model.
    fresh : callable (model, update) -> loss, optional
        Loss of a new batch that is drawn for this update, in nats per target token.
    valid_loss : str
        Name of the validation loss among the metrics of an evaluation.
    gradient_scale : float or callable, optional
        Factor that turns the gradients into those of the mean loss, if it cannot be measured.
    options
        Options of losschange.attach: estimators, details, word_bins, quadrature,
        simpson_tolerance, attributes, watchers.
    """

    def __init__(
        self,
        schema: Schema | None,
        folder: str | os.PathLike,
        cube: str | os.PathLike,
        probes: Mapping[str, Mapping[str, Tensor] | Loss] | None = None,
        fresh: FreshLoss | None = None,
        valid_loss: str = "eval_loss",
        gradient_scale: float | Callable[[], float | Tensor] | None = None,
        **options,
    ):
        self._schema = schema
        self._folder = folder
        self._cube = cube
        self._options = options
        self._probes = dict(probes or {})
        self._fresh = fresh
        self._valid_loss = valid_loss
        self._given_scale = gradient_scale
        self._attached: AttachedRecorder | None = None
        self._undo: list[Callable[[], None]] = []

    def on_train_begin(self, args, state, control, model=None, optimizer=None, **others):
        self._let_go()
        _refuse(args, model, optimizer)
        self._loss = UpdateLoss(model, args.world_size)
        self._optimizer = optimizer
        self._undo = [self._loss.remove]
        self._attached = attach(
            model,
            optimizer,
            self._schema,
            self._folder,
            probes={split: _as_loss(probe, model) for split, probe in self._probes.items()},
            fresh=self._fresh and self._loss.unseen(self._fresh),
            updates=state.global_step,
            state=_saved_state(args, state),
            gradient_scale=lambda: self._scale,
            **self._options,
        )
        self._undo.append(self._attached.detach)
        self._parameters = [parameter for _, parameter in trainable_parameters(model)]
        self._clipping = ClippingWatch(self._parameters)
        if args.max_grad_norm and self._recording:
            self._undo.append(self._clipping.after_every_backward())

    def on_pre_optimizer_step(self, args, state, control, **others):
        series, factor = self._take()
        if self._recording:
            self._scale = self._clipping.undo() * factor
            norm = gradient_norm(self._parameters) * self._scale
            self._attached.describe(grad_norm=norm, **series)

    def on_evaluate(self, args, state, control, metrics=None, **others):
        if self._recording and self._valid_loss in (metrics or {}):
            self._attached.add_valid_loss(metrics[self._valid_loss])

    def on_save(self, args, state, control, **others):
        if not self._recording:
            return
        if control.should_training_stop:
            self._close()
        folder = _checkpoint(args, state)
        kept = self._attached.save()
        temporary = folder / f".{STATE_FILE}.tmp"
        torch.save(kept, temporary)
        os.replace(temporary, folder / STATE_FILE)

    def on_log(self, args, state, control, logs=None, **others):
        # This is the log at the end of training; afterwards the Trainer may load the best
        # checkpoint into the model.
        if self._recording and "train_runtime" in (logs or {}):
            self._close()

    def on_train_end(self, args, state, control, **others):
        if self._attached is not None:
            self._attached.finish(self._cube)
        self._let_go()

    @property
    def _recording(self) -> bool:
        return self._attached is not None and self._attached.recorder is not None

    def _take(self) -> tuple[dict[str, Tensor], float | Tensor]:
        """Series of the update, and the factor that its unclipped gradients are multiplied by."""
        if self._given_scale is None:
            return self._loss.take()
        self._loss.forget()
        scale = self._given_scale
        return {}, scale() if callable(scale) else scale

    def _close(self) -> None:
        """Close open intervals of probes; the model must have its state after the last update."""
        # After an evaluation, a schedule-free optimizer has put averages into the parameters.
        back = getattr(self._optimizer, "train", None)
        if back is not None:
            back()
        self._attached.close()

    def _let_go(self) -> None:
        for undo in self._undo:
            undo()
        self._undo, self._attached = [], None


def _refuse(args, model, optimizer) -> None:
    """Raise RecordingError for trainings whose updates this callback cannot observe."""
    if args.fp16 or getattr(optimizer, "scaler", None) is not None:
        raise RecordingError(
            "fp16 scales the loss and skips updates that overflow, which a callback cannot tell "
            "from the others; train with bf16=True or in float32"
        )
    if args.n_gpu > 1:
        raise RecordingError(
            f"one process trains on {args.n_gpu} GPUs; start a process for each with torchrun, or "
            "let the process see one GPU only"
        )
    accelerator = getattr(optimizer, "accelerator_state", None)
    kind = getattr(getattr(accelerator, "distributed_type", None), "value", "NO")
    sharded = any(hasattr(parameter, "device_mesh") for parameter in model.parameters())
    if sharded or not (kind == "NO" or kind.startswith("MULTI_")):
        raise RecordingError(
            f"{'a device mesh' if sharded else kind} keeps the model in pieces, which this "
            "callback does not follow; train with DistributedDataParallel, or use "
            "losschange.attach in a loop of your own with fully_shard"
        )


def _as_loss(probe, model: torch.nn.Module) -> Loss:
    if callable(probe):
        return probe
    device = next(model.parameters()).device
    batch = {n: v.to(device, copy=True) if isinstance(v, Tensor) else v for n, v in probe.items()}
    return lambda model: model(**batch)["loss"]


def _checkpoint(args, state) -> Path:
    return Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"


def _saved_state(args, state) -> dict:
    path = _checkpoint(args, state) / STATE_FILE
    if not state.global_step or not path.is_file():
        return {}
    return torch.load(path, map_location="cpu", weights_only=True)
