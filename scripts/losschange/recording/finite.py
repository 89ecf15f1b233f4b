"""Detect numbers that are not finite without waiting for the device."""

from __future__ import annotations

import torch
from torch import Tensor


class FiniteWatch:
    """Checks whether all numbers added so far were finite.

    On a CPU the result is known at once. From a GPU it is copied to the host while the training
    continues, and is known one or two updates later.

    Parameters
    ----------
    device : torch device
    """

    def __init__(self, device: torch.device | str):
        self._all_finite = torch.ones((), dtype=torch.bool, device=device)
        self._on_host = self._all_finite
        self._travels = self._all_finite.is_cuda
        self._arrived: torch.cuda.Event | None = None
        if self._travels:
            self._on_host = torch.ones((), dtype=torch.bool, pin_memory=True)
        # The same memory, which is read without asking PyTorch and so without waiting.
        self._answer = self._on_host.numpy()

    def add(self, numbers: Tensor) -> None:
        """Check the numbers of a record."""
        self._all_finite.logical_and_(numbers.isfinite().all())

    def lost(self) -> bool:
        """Whether a number that is not finite was found so far."""
        arrived = self._arrived is None or self._arrived.query()  # type: ignore[no-untyped-call]
        if self._travels and arrived:
            lost = not self._answer
            self._on_host.copy_(self._all_finite, non_blocking=True)
            self._arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._arrived.record()
            return bool(lost)
        return not self._travels and not self._answer
