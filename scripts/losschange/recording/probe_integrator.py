"""One probe along a training: the loss change of every interval between two evaluations.

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
# Loss (float64 scalar) and gradient of a probe at one point of the training.
Evaluation = tuple[Tensor, FlatVector]

LOSSES = ("loss_before", "loss", "error")
MOST_PIECES = 16
# What "adaptive" allows: a share of the interval's loss change, and, for intervals in which the
# loss hardly changes, what rounding in float32 leaves of the loss.
ADAPTIVE_ERROR, ROUNDING = 0.01, 1e-6


class ProbeIntegrator:
    """One probe: its loss and gradient where the interval began, and the LCA of each interval.

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
    on_host : bool
        Keep the gradient in host memory between two evaluations.
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
        on_host: bool,
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
        if on_host:
            pinned = torch.device(device).type == "cuda"
            self._host = torch.empty(partition.length, dtype=torch.float32, pin_memory=pinned)

    @property
    def estimators(self) -> list[str]:
        """Names of the estimators that it records."""
        return [name for name in (self.trapezoid, self.simpson) if name]

    def evaluate(self) -> Evaluation:
        """Loss and gradient of the probe at the model's present parameters."""
        loss, gradients = self.measure(None)
        return loss.double(), self._vector(gradients)

    def begin(self, evaluation: Evaluation) -> None:
        """Begin an interval with the loss and gradient found there."""
        self._loss, self._gradient = evaluation
        if self._host is not None:
            self._host.copy_(evaluation[1].flat, non_blocking=True)
            self._gradient = None

    def end(
        self, after: Sequence[Tensor], negative_step: FlatVector, evaluation: Evaluation
    ) -> dict[str, list[Tensor]]:
        """End the interval, and begin the next.

        Parameters
        ----------
        after : sequence of Tensor
            theta at the end.
        negative_step : FlatVector
            theta at the beginning - theta at the end.
        evaluation : (loss, FlatVector)
            The probe's loss and gradient at the end.

        Returns
        -------
        mapping of estimator to [LCA (cells,), losses and error (3,), details ...]
        """
        loss, gradient = evaluation
        loss_before, trapezoid = self._start()
        # The trapezoid rule's product is also a term of Simpson's.
        trapezoid.flat.add_(gradient.flat).mul_(negative_step.flat).mul_(0.5)
        products = {}
        if self.simpson:
            products[self.simpson] = self._simpson(
                trapezoid, after, negative_step, loss - loss_before
            )
        if self.trapezoid:
            products[self.trapezoid] = trapezoid
        found = {
            name: self._record(name, vector, loss_before, loss) for name, vector in products.items()
        }
        self.begin((loss, gradient))
        return found

    def state_dict(self) -> dict[str, Tensor]:
        """Loss and gradient where the interval began, as copies on the host."""
        loss, gradient = self._start()
        return {
            "loss": loss.to("cpu", copy=True),
            "gradient": gradient.flat.to("cpu", copy=True),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Resume an interval that another process began."""
        gradient = FlatVector(self._partition, self._device)
        gradient.flat.copy_(state["gradient"])
        self.begin((state["loss"].to(self._device), gradient))

    def _simpson(
        self,
        trapezoid: FlatVector,
        after: Sequence[Tensor],
        negative_step: FlatVector,
        change: Tensor,
    ) -> FlatVector:
        """−LCA of every parameter under Simpson's rule; `trapezoid` is left as it is.

        A gradient jumps where a ReLU switches, so no fixed rule is exact: as Lan et al. (2019) do,
        the interval is halved until the error is small.
        """
        pieces, even = 1, FlatVector(self._partition, self._device)
        while True:
            odd = FlatVector(self._partition, self._device)
            for number in range(1, 2 * pieces, 2):
                point = negative_step.point(after, 1 - number / (2 * pieces))
                odd.flat.add_(self._vector(self.measure(point)[1]).flat)
            products = FlatVector(self._partition, self._device)
            torch.add(even.flat, odd.flat, alpha=2.0, out=products.flat)
            products.flat.mul_(negative_step.flat).add_(trapezoid.flat).mul_(1 / (3 * pieces))
            if self._tolerance is None or pieces == MOST_PIECES:
                return products
            error = self._cell_sum.allocations(products).sum() - change
            if abs(float(error)) <= self._allowed(change):
                return products
            # The midpoints of this grid are inner points of the next, finer one.
            even.flat.add_(odd.flat)
            pieces *= 2

    def _allowed(self, change: Tensor) -> float:
        """Largest allowed error in nats: sum of LCA minus measured change of the loss."""
        assert self._tolerance is not None and self._loss is not None
        if self._tolerance != "adaptive":
            return float(self._tolerance)
        return max(ADAPTIVE_ERROR * abs(float(change)), ROUNDING * abs(float(self._loss)))

    def _start(self) -> Evaluation:
        """Loss and gradient where the open interval began."""
        assert self._loss is not None, "no interval was begun"
        if self._gradient is not None:
            return self._loss, self._gradient
        assert self._host is not None
        gradient = FlatVector(self._partition, self._device)
        gradient.flat.copy_(self._host, non_blocking=True)
        return self._loss, gradient

    def _vector(self, gradients: Gradients) -> FlatVector:
        return FlatVector(self._partition, self._device).copy(gradients)

    def _record(
        self, name: str, products: FlatVector, loss_before: Tensor, loss: Tensor
    ) -> list[Tensor]:
        """LCA, losses and details of −LCA of every parameter, which is overwritten."""
        cells = self._cell_sum.allocations(products)
        error = cells.sum() - (loss - loss_before)
        losses = torch.stack([loss_before, loss, error])
        return [cells, losses, *self._details[name](products)]
