"""The gradient of the mean loss, whatever a trainer did to it before the optimizer's step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

# Clipping multiplies all gradients by one number, so a few of them tell it.
WATCHED = 8


def gradient_norm(parameters: Iterable[torch.nn.Parameter]) -> Tensor:
    """Euclidean norm of all gradients together, a scalar on their device; 0 without any."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return torch.zeros(())
    return torch.nn.utils.get_total_norm(gradients)


class ClippingWatch:
    """By how much clipping to a norm shrank the gradients, without a copy of them.

    Parameters
    ----------
    parameters : sequence of torch.nn.Parameter
        Those that are trained; the smallest of them are watched.
    """

    def __init__(self, parameters: Sequence[torch.nn.Parameter]):
        self._watched = sorted(parameters, key=torch.numel)[:WATCHED]
        self._before: Tensor | None = None

    def before(self) -> None:
        """Look at the gradients before they are clipped."""
        self._before = gradient_norm(self._watched)

    def undo(self) -> Tensor | float:
        """What gradients must be multiplied by to be again what they were in `before`."""
        if self._before is None:
            return 1.0
        after = gradient_norm(self._watched)
        return torch.where(after > 0, self._before / after, 1.0)

    def after_every_backward(self) -> Callable[[], None]:
        """Call `before` whenever a backward pass has ended, gradients averaged over workers.

        Returns
        -------
        callable
            Ends the watch.
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
                # Twice: DistributedDataParallel puts its averaging into this queue, too, and the
                # second entry is made when that one is in it already.
                _when_backward_ends(lambda: _when_backward_ends(ended))

        handles = [p.register_post_accumulate_grad_hook(accumulated) for p in self._watched]

        def end() -> None:
            for handle in handles:
                handle.remove()

        return end


def _when_backward_ends(function: Callable[[], None]) -> None:
    # PyTorch's own way to this queue; FSDP uses it, there is no public one.
    torch.autograd.Variable._execution_engine.queue_callback(function)
