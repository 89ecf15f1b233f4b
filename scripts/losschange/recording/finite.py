"""Noticing soon that a number is not finite, without waiting for the device."""

from __future__ import annotations

import torch
from torch import Tensor


class FiniteWatch:
    """Whether all numbers added so far were finite, told as soon as it is known.

    On the CPU that is at once. On a GPU the answer travels to the host while the training goes on,
    and is there an update or two later.

    Parameters
    ----------
    device : torch device
    """

    def __init__(self, device: torch.device | str):
        self._asynchronous = torch.device(device).type == "cuda"
        self._all_finite = torch.ones((), dtype=torch.bool, device=device)
        self._host = torch.ones((), dtype=torch.bool, pin_memory=self._asynchronous)
        self._copied: torch.cuda.Event | None = None

    def add(self, numbers: Tensor) -> None:
        """Look at the numbers of a record."""
        # The sum of finite numbers is finite here: they are loss changes.
        self._all_finite.logical_and_(numbers.sum().isfinite())

    def lost(self) -> bool:
        """Whether a number is known not to have been finite."""
        if not self._asynchronous:
            return not bool(self._all_finite)
        if self._copied is None or self._copied.query():
            answer = not bool(self._host) if self._copied is not None else False
            self._host.copy_(self._all_finite, non_blocking=True)
            self._copied = torch.cuda.Event()
            self._copied.record()
            return answer
        return False
