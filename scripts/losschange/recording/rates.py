"""Learning rates of an update: one number, and one per group where there are several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from losschange.cube.format import rate_name

from .checks import check_series


class RateNames:
    """Names of the groups of optimizers, and their learning rates now.

    Parameters
    ----------
    optimizers : sequence
    """

    def __init__(self, optimizers: Sequence[Any]):
        self._optimizers = list(optimizers)
        kinds = [type(optimizer).__name__ for optimizer in self._optimizers]
        counts, seen = Counter(kinds), Counter[str]()
        self._names = []
        for kind in kinds:
            seen[kind] += 1
            self._names.append(kind if counts[kind] == 1 else f"{kind}{seen[kind]}")

    def now(self, number: int) -> dict[str, float | Tensor]:
        """The learning rates of an optimizer's groups, copies of tensors.

        Parameters
        ----------
        number : int
            Which optimizer, from 0.

        Returns
        -------
        mapping of series to float or Tensor
            "lr" is the rate of the first group. Where there are several groups, of one or of
            several optimizers, each has a series of its own (losschange.cube.format.rate_name).
        """
        groups = self._optimizers[number].param_groups
        rates = {n: group["lr"] for n, group in enumerate(groups) if group.get("lr") is not None}
        found = check_series({"lr": rates[0]}) if 0 in rates else {}
        if len(groups) > 1 or len(self._optimizers) > 1:
            for group, rate in rates.items():
                found[rate_name(self._names[number], group)] = check_series({"lr": rate})["lr"]
        return found
