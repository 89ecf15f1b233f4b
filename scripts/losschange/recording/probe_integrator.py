"""One probe along a training: the loss change of every interval between two looks.

A probe is a fixed batch, so its loss at both ends of an interval can be measured, and the
allocation of the interval held against it. The gradient at the end of one interval is that at the
start of the next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from .allocation import CellSum, ExtraReductions, FlatVector
from .partition import Partition

Gradients = Sequence[Tensor | None]
# Loss (nats per target token) and its gradients per parameter, at the parameters given or, with
# None, at those of the model.
Measure = Callable[[Sequence[Tensor] | None], tuple[Tensor, Gradients]]

LOSSES = ("loss_before", "loss", "error")
MOST_PIECES = 16
# What "adaptive" allows: a share of the interval's loss change, and, for intervals in which the
# loss hardly changes, what rounding in float32 leaves of the loss.
ADAPTIVE_ERROR, ROUNDING = 0.01, 1e-6


class ProbeIntegrator:
    """One probe: its loss and gradient where the interval began, and what an interval amounts to.

    Parameters
    ----------
    partition : Partition
    cell_sum : CellSum
    measure : Measure
    trapezoid, simpson : str or None
        Names of the estimators to record.
    tolerance : float, "adaptive" or None
        Nats: Simpson's rule splits an interval until its error is at most this, or under
        "adaptive" at most `ADAPTIVE_ERROR` of the loss change; None = never.
    details : mapping of estimator to ExtraReductions
    device : torch device
    parked : bool
        Keep the gradient in host memory between two looks.
    """

    def __init__(
        self,
        partition: Partition,
        cell_sum: CellSum,
        measure: Measure,
        trapezoid: str | None,
        simpson: str | None,
        tolerance: float | str | None,
        details: Mapping[str, ExtraReductions],
        device: torch.device | str,
        parked: bool,
    ):
        self.measure = measure
        self.trapezoid = trapezoid
        self.simpson = simpson
        self._tolerance = tolerance
        self._partition = partition
        self._cell_sum = cell_sum
        self._details = details
        self._device = device
        self._loss: Tensor | None = None
        self._gradient: FlatVector | None = None
        self._host: Tensor | None = None
        if parked:
            pinned = torch.device(device).type == "cuda"
            self._host = torch.empty(partition.length, pin_memory=pinned)

    @property
    def estimators(self) -> list[str]:
        """Names of the estimators that it records."""
        return [name for name in (self.trapezoid, self.simpson) if name]

    def look(self) -> tuple[Tensor, FlatVector]:
        """Loss and gradient of the probe at the model's present parameters."""
        loss, gradients = self.measure(None)
        return loss.double(), self._row(gradients)

    def begin(self, look: tuple[Tensor, FlatVector]) -> None:
        """Begin an interval with the loss and gradient found there."""
        self._loss, self._gradient = look
        if self._host is not None:
            self._host.copy_(self._gradient.flat, non_blocking=True)
            self._gradient = None

    def end(
        self, after: Sequence[Tensor], step: FlatVector, look: tuple[Tensor, FlatVector]
    ) -> dict[str, list[Tensor]]:
        """End the interval, and begin the next.

        Parameters
        ----------
        after : sequence of Tensor
            theta at the end.
        step : FlatVector
            theta at the beginning - theta at the end.
        look : (loss, FlatVector)
            The probe's loss and gradient at the end.

        Returns
        -------
        mapping of estimator to [LCA (cells,), losses and error (3,), details ...]
        """
        loss, gradient = look
        # The trapezoid's product is a part of Simpson's.
        half = self._kept_gradient()
        half.flat.add_(gradient.flat).mul_(step.flat).mul_(0.5)
        rows = {}
        if self.simpson:
            rows[self.simpson] = self._simpson(half, after, step, loss - self._loss)
        if self.trapezoid:
            rows[self.trapezoid] = half
        losses = [self._loss, loss]
        found = {name: self._record(name, row, losses) for name, row in rows.items()}
        self.begin((loss, gradient))
        return found

    def state_dict(self) -> dict[str, Tensor]:
        """Loss and gradient where the interval began, as copies on the host."""
        return {
            "loss": self._loss.to("cpu", copy=True),
            "gradient": self._kept_gradient().flat.to("cpu", copy=True),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on with an interval that another process began."""
        row = FlatVector(self._partition, self._device)
        row.flat.copy_(state["gradient"])
        self.begin((state["loss"].to(self._device), row))

    def _simpson(
        self, half: FlatVector, after: Sequence[Tensor], step: FlatVector, change: Tensor
    ) -> FlatVector:
        """Negative allocations under Simpson's rule; `half` is left as it is.

        A gradient jumps where a ReLU switches, so no fixed rule is exact: as Lan et al. (2019) do,
        the interval is halved until the error is small.
        """
        pieces, even = 1, FlatVector(self._partition, self._device)
        while True:
            odd = FlatVector(self._partition, self._device)
            for number in range(1, 2 * pieces, 2):
                place = step.point(after, 1 - number / (2 * pieces))
                odd.flat.add_(self._row(self.measure(place)[1]).flat)
            products = FlatVector(self._partition, self._device)
            torch.add(even.flat, odd.flat, alpha=2.0, out=products.flat)
            products.flat.mul_(step.flat).add_(half.flat).mul_(1 / (3 * pieces))
            if self._tolerance is None or pieces == MOST_PIECES:
                return products
            error = -self._cell_sum(products.flat).sum() - change
            if abs(float(error)) <= self._allowed(change):
                return products
            # What was between the points is among them on the finer grid.
            even.flat.add_(odd.flat)
            pieces *= 2

    def _allowed(self, change: Tensor) -> float:
        """Nats by which the allocations may miss the measured change of the loss."""
        if self._tolerance != "adaptive":
            return float(self._tolerance)
        return max(ADAPTIVE_ERROR * abs(float(change)), ROUNDING * abs(float(self._loss)))

    def _kept_gradient(self) -> FlatVector:
        if self._host is None:
            return self._gradient
        row = FlatVector(self._partition, self._device)
        row.flat.copy_(self._host, non_blocking=True)
        return row

    def _row(self, gradients: Gradients) -> FlatVector:
        return FlatVector(self._partition, self._device).copy(gradients)

    def _record(self, name: str, products: FlatVector, losses: list[Tensor]) -> list[Tensor]:
        """LCA and details of a row of negative allocations."""
        cells = self._cell_sum(products.flat).neg_()
        error = cells.sum() - (losses[1] - losses[0])
        return [cells, torch.stack([*losses, error]), *self._details[name](products)]
