"""Numbers recorded at every update besides LCA, such as loss, tokens and learning rate."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from losschange.cube.format import RATE_PREFIX, SERIES


class Series:
    """Columns of losschange.cube.format.SERIES that grow by one number per update."""

    def __init__(self) -> None:
        self._columns: dict[str, list[float | Tensor]] = {name: [] for name in SERIES}

    def add(self, numbers: Mapping[str, float | Tensor]) -> None:
        """Add the numbers of an update; missing ones are NaN. Tensors stay on their device.

        Learning rates of groups are columns, too, from the first update that has them.
        """
        before = len(self._columns["loss"])
        for name in numbers:
            if name.startswith(RATE_PREFIX) and name not in self._columns:
                self._columns[name] = [float("nan")] * before
        for name, column in self._columns.items():
            column.append(numbers.get(name, float("nan")))

    def columns(self) -> dict[str, np.ndarray]:
        """The columns so far as float32 (n,)."""
        return {name: _on_host(column) for name, column in self._columns.items()}

    def clear(self) -> None:
        """Remove all numbers."""
        self._columns = {name: [] for name in SERIES}


def _on_host(column: list[float | Tensor]) -> np.ndarray:
    """A column of floats and scalar tensors as float32, with one copy from the device."""
    if any(isinstance(value, Tensor) for value in column):
        device = next(value.device for value in column if isinstance(value, Tensor))
        numbers = [torch.as_tensor(v, dtype=torch.float64, device=device) for v in column]
        return torch.stack([number.reshape(()) for number in numbers]).cpu().numpy().astype("f4")
    return np.asarray(column, dtype=np.float32)
