"""Recover the gradient of the mean loss after a trainer clipped it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

# Clipping multiplies all gradients by one number, so some scalars of each are enough to measure it.
# Some of all: many gradients may be 0, such as those of LoRA's first matrices at the beginning.
WATCHED = 256


def gradient_norm(parameters: Iterable[torch.nn.Parameter]) -> Tensor:
    """Euclidean norm of all gradients, a scalar on their device; 0 without gradients."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return torch.zeros(())
    return torch.nn.utils.get_total_norm(gradients)


class ClippingWatch:
    """Measures the factor by which gradients were clipped, without copying all of them.

    Parameters
    ----------
    parameters : sequence of torch.nn.Parameter
        The trained parameters; some scalars of the gradient of each are compared.
    """

    def __init__(self, parameters: Sequence[torch.nn.Parameter]):
        self._parameters = list(parameters)
        self._before: Tensor | None = None

    def before(self) -> None:
        """Keep the norm of some scalars before clipping."""
        self._before = self._norm()

    def undo(self) -> Tensor | float:
        """Factor that turns the present gradients into those at the call of `before`."""
        if self._before is None:
            return 1.0
        after = self._norm()
        return torch.where(after > 0, self._before / after, 1.0)

    def _norm(self) -> Tensor:
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        pieces = [gradient.reshape(-1)[:WATCHED] for gradient in gradients]
        return torch.nn.utils.get_total_norm(pieces) if pieces else torch.zeros(())

    def after_every_backward(self) -> Callable[[], None]:
        """Call `before` after every backward pass, once gradients are averaged over workers.

        Returns
        -------
        callable
            Stops these calls.
        """
        waiting = False

        def ended() -> None:
            nonlocal waiting
            waiting = False
            self.before()

        def accumulated(parameter: Tensor) -> None:
            nonlocal waiting
            if not waiting:
                waiting = True
                # Queue the call twice: DistributedDataParallel also queues its averaging, and the
                # second entry is added after that.
                _when_backward_ends(lambda: _when_backward_ends(ended))

        handles = [
            p.register_post_accumulate_grad_hook(accumulated)  # type: ignore[no-untyped-call]
            for p in self._parameters
        ]

        def end() -> None:
            for handle in handles:
                handle.remove()

        return end


def _when_backward_ends(function: Callable[[], None]) -> None:
    # FSDP uses this private function of PyTorch; there is no public access to the queue.
    torch.autograd.Variable._execution_engine.queue_callback(function)
