"""The loss of one update of Hugging Face's Trainer, in nats per target token.

The optimizer gets a weighted sum of the gradients of the losses of all target tokens. The sum of
the weights differs between models. Many models divide by the number of labels in all batches of an
update. Encoder-decoder models divide by the number of labels in each batch, although the Trainer
assumes the former. Label smoothing is computed by the Trainer. For some causal models the first
label of every row is counted although no position predicts it. So nothing is assumed: the weights
are measured in the backward pass, and the gradient is divided by their sum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from losschange.errors import RecordingError
from losschange.recording.side_effects import without_side_effects

from .logit_weights import LogitWeights


class UpdateLoss:
    """Sums losses and target tokens over the batches of an update; tensors stay on the device.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    workers : int
        Number of processes over which gradients are averaged.
    """

    def __init__(self, model: torch.nn.Module, workers: int):
        function = getattr(model, "loss_function", None)
        config = getattr(model, "config", None)
        causal = getattr(function, "__name__", "") == "ForCausalLMLoss"
        self._shifts = causal and not getattr(config, "is_encoder_decoder", False)
        self._workers = workers
        self._paused = False
        self._divides: bool | None = None  # whether the model divides by the number it is given
        self._clear()
        self._hook = model.register_forward_hook(self._look, with_kwargs=True)

    def remove(self) -> None:
        """Remove all hooks."""
        self._hook.remove()

    def unseen(self, function: Callable) -> Callable:
        """Wrap a function so that its own forward passes in training mode are not counted."""

        def apart(*arguments):
            self._paused, before = True, self._paused
            try:
                return function(*arguments)
            finally:
                self._paused = before

        return apart

    def take(self) -> tuple[dict[str, Tensor], Tensor | float]:
        """Return the sums of the update that is about to be made, and reset them.

        Every process must call it, because the sums are added over processes.

        Returns
        -------
        (series, factor)
            `loss`, `tokens` and `sample_size`, as far as known. `factor` turns the gradients into
            those of the mean over target tokens or, if each batch is divided by its own number of
            target tokens, of the mean over batches.

        Raises
        ------
        RecordingError
            If the training loss was computed neither from the model's own loss nor as a
            cross-entropy of its logits.
        """
        batches, weight, loss, targets = self._batches, self._weight, self._loss, self._targets
        seen, expected = self._seen, self._expected
        for measured in self._logits:
            share, found = measured.result()
            weight, targets = weight + share, targets + found
        self._clear()
        if not batches:
            return {}, 1.0
        if seen < expected:
            raise RecordingError(
                "the loss that is trained is not the one that the model returns, so it cannot be "
                "seen what its gradients must be multiplied by; give the callback gradient_scale"
            )
        sums = torch.stack([torch.as_tensor(one).double() for one in (weight, loss, targets)])
        if self._workers > 1:
            torch.distributed.all_reduce(sums)
            sums[:2] /= self._workers
        weight, loss, targets = sums
        factor = 1.0 / weight
        series = {"tokens": targets, "sample_size": targets}
        if expected:
            series["loss"] = loss * factor
        return series, factor

    def forget(self) -> None:
        """Reset all sums."""
        self._clear()

    def _clear(self) -> None:
        self._batches, self._expected, self._seen = 0, 0, 0
        self._weight: Tensor | float = 0.0
        self._loss: Tensor | float = 0.0
        self._targets: Tensor | float = 0.0
        self._logits: list[LogitWeights] = []

    def _look(self, module, arguments, options, output) -> None:
        if self._paused or not module.training or not torch.is_grad_enabled():
            return
        self._batches += 1
        loss = _loss_of(output, options)
        if loss is not None and loss.requires_grad:
            self._expected += 1
            self._follow_loss(module, arguments, options, loss)
            return
        logits = output.get("logits") if isinstance(output, Mapping) else output[0]
        if isinstance(logits, Tensor) and logits.requires_grad:
            self._logits.append(LogitWeights(logits))

    def _follow_loss(self, module, arguments, options, loss: Tensor) -> None:
        """Measure the factor by which the trainer multiplies a loss of the model."""
        labels = options.get("num_items_in_batch")
        targets = self._count(options)
        share: Tensor | float = 1.0
        if labels is not None and targets is not None and self._divided(module, arguments, options):
            share = targets / labels
        self._targets = self._targets + (0 if targets is None else targets)
        value = loss.detach().clone()

        def arrived(gradient: Tensor) -> None:
            self._seen += 1
            self._weight = self._weight + gradient.detach() * share
            self._loss = self._loss + gradient.detach() * value

        # The hook on the model's loss gets the derivative of the trained loss with respect to it,
        # which is this factor.
        loss.register_hook(arrived)

    def _divided(self, module, arguments, options: Mapping[str, object]) -> bool:
        """Whether the model divides its loss by the number of labels passed to it.

        Tested once, with the first batch that has a target.
        """
        if self._divides is None:
            losses = []
            for times in (1, 2):
                changed = {**options, "num_items_in_batch": options["num_items_in_batch"] * times}
                with without_side_effects(module), torch.no_grad():
                    losses.append(float(_loss_of(module.forward(*arguments, **changed), options)))
            if losses[0] == 0 or not math.isfinite(losses[0]):
                return True  # a batch without any target, which tells nothing
            self._divides = abs(losses[0] - losses[1]) > 0.1 * abs(losses[0])
        return self._divides

    def _count(self, options: Mapping[str, Tensor]) -> Tensor | None:
        """Number of labels of a batch that the model predicts."""
        labels = options.get("shift_labels")
        if labels is None and options.get("labels") is not None:
            labels = options["labels"][..., 1:] if self._shifts else options["labels"]
        return None if labels is None else labels.ne(-100).sum()


def _loss_of(output: Mapping | Sequence, options: Mapping[str, object]) -> Tensor | None:
    """The loss in a model's output; None if the model got no labels."""
    if isinstance(output, Mapping):
        return output.get("loss")
    return output[0] if options.get("labels") is not None else None
