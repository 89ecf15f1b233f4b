"""The loss of one update of Hugging Face's Trainer, in nats per target token.

The Trainer divides the summed nats of all batches and processes by the number of labels. Of some
causal models it counts the first label of every row, which no position predicts: GPT-2 is one. Its
gradients are then those of the mean over labels, and must be multiplied by labels per target.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from transformers.loss.loss_utils import ForCausalLMLoss


class UpdateLoss:
    """Adds up losses and target tokens of an update's batches; tensors stay on the device.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    workers : int
        Processes over which the Trainer averages by tokens, 1 where it does not.
    """

    def __init__(self, model: torch.nn.Module, workers: int):
        causal = getattr(model, "loss_function", None) is ForCausalLMLoss
        config = getattr(model, "config", None)
        self._shifts = causal and not getattr(config, "is_encoder_decoder", False)
        self._workers = workers
        self._paused = False
        self._clear()
        self._hook = model.register_forward_hook(self._look, with_kwargs=True)

    def remove(self) -> None:
        """Look no more."""
        self._hook.remove()

    def unseen(self, function):
        """A function whose own use of the model in training mode is not counted."""

        def apart(*arguments):
            self._paused = True
            try:
                return function(*arguments)
            finally:
                self._paused = False

        return apart

    def take(self) -> tuple[dict[str, Tensor], Tensor | float]:
        """The update that is about to be made; begins anew.

        Every process must call it: what the others saw is added.

        Returns
        -------
        (series, factor)
            `loss`, and where the Trainer counts tokens `tokens` and `sample_size`; what gradients
            must be multiplied by to be those of the mean over target tokens.
        """
        batches, loss, labels, targets = self._batches, self._loss, self._labels, self._targets
        self._clear()
        if not batches:
            return {}, 1.0
        if labels is None:
            return {"loss": loss / batches}, 1.0
        if self._workers > 1:
            sums = torch.stack([loss, targets.to(loss.dtype)])
            torch.distributed.all_reduce(sums)
            loss, targets = sums
        factor = labels / targets
        return {"loss": loss * factor, "tokens": targets, "sample_size": targets}, factor

    def _clear(self) -> None:
        self._batches, self._loss, self._labels, self._targets = 0, 0.0, None, 0

    def _look(self, module, arguments, options, output) -> None:
        if self._paused or not module.training or not torch.is_grad_enabled():
            return
        loss = output.get("loss") if isinstance(output, Mapping) else None
        if loss is None:
            return
        self._batches += 1
        self._loss = self._loss + loss.detach()
        self._labels = options.get("num_items_in_batch")
        if self._labels is not None:
            self._targets = self._targets + self._count(options)

    def _count(self, options: Mapping[str, Tensor]) -> Tensor:
        """Labels of a batch that the model predicts."""
        labels = options.get("shift_labels")
        if labels is None:
            labels = options["labels"][..., 1:] if self._shifts else options["labels"]
        return labels.ne(-100).sum()
