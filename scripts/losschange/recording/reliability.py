"""Warn, once per reason, that recorded numbers are not reliable."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import numpy as np
import torch

from losschange.cube.estimators import TRAIN, parse_estimator
from losschange.cube.format import detail_variable, estimators_of, open_cube, steps_of
from losschange.cube.parts import PartStore

LARGEST_ERROR = 0.05  # of an interval's loss change
LARGEST_RATIO = 2.0  # of the training batch's LCA to the loss change of the training text
# Share of the loss below which a change is dominated by float32 rounding.
LEAST_CHANGE = 1e-3

_log = logging.getLogger("losschange")


class ReliabilityWatch:
    """Warns, once for each reason, in the log and in an attribute of the cube."""

    def __init__(self) -> None:
        self._told: set[str] = set()
        self._known: dict[str, str] = {}
        self._seen = 0  # parts
        self._evidence = Evidence()

    def look_at_model(self, model: torch.nn.Module) -> None:
        """Log a warning if what is no parameter moves the loss of probes, too."""
        names = [
            name
            for name, module in model.named_modules()
            if getattr(module, "running_mean", None) is not None
            and module.training == model.training
        ]
        if names:
            self.tell(
                "statistics",
                f"The running statistics of {names[0]!r} ({len(names)} modules in all) move the "
                "loss of probes, too. What they do to it is in no cell but in the error, and "
                'splitting intervals does not make that smaller: give quadrature="fixed".',
            )

    def tell(self, reason: str, text: str) -> None:
        """Log a warning that will stand in the cube, too.

        Parameters
        ----------
        reason : str
            A word; a later warning for the same reason replaces it.
        text : str
            A sentence.
        """
        self._known[reason] = text
        _log.warning(text)

    def look(self, store: PartStore) -> None:
        """Log a new warning if the parts written so far are not reliable."""
        parts = store.parts()
        for _, _, path in parts[self._seen :]:
            self._evidence.add(path)
        self._seen = len(parts)
        for reason, text in self._evidence.warnings().items():
            if reason not in self._told:
                self._told.add(reason)
                _log.warning(text)

    def attributes(self, store: PartStore) -> dict[str, str]:
        """The attribute "warnings" of the cube of all parts; {} if there is nothing to say."""
        evidence = Evidence()
        for _, _, path in store.parts():
            evidence.add(path)
        found = {**self._known, **evidence.warnings()}
        return {"warnings": " ".join(found.values())} if found else {}


class Evidence:
    """Statistics of the parts of a training that show whether they are reliable."""

    def __init__(self) -> None:
        self._poor: tuple[int, int, str, float, float] | None = None
        self._batch: list[float] = []
        self._ends: dict[str, tuple[float, float]] = {}

    def add(self, path: Path) -> None:
        """Add the statistics of the next part."""
        with open_cube(path) as cube:
            axes = cube["lca"].dims[1:]
            self._batch += cube["lca"].astype("f8").sum(axes).values.tolist()
            probes = [name for name in estimators_of(cube) if parse_estimator(name).is_probe]
            for order, name in enumerate(probes):
                if not len(steps_of(cube, name)):
                    continue
                before, loss, error = (
                    cube[detail_variable(detail, name)].values
                    for detail in ("loss_before", "loss", "error")
                )
                first = self._ends.get(name, (float(before[0]), 0.0))[0]
                self._ends[name] = first, float(loss[-1])
                change = loss - before
                least = np.maximum(np.abs(change), LEAST_CHANGE * np.abs(loss))
                for place in np.flatnonzero(np.abs(error) > LARGEST_ERROR * least)[:1]:
                    step = int(steps_of(cube, name)[place])
                    poor = step, order, name, float(error[place]), float(change[place])
                    self._poor = poor if self._poor is None else min(self._poor, poor)

    def warnings(self) -> dict[str, str]:
        """The reasons why numbers are not reliable, each as a sentence.

        Returns
        -------
        mapping of reason to str
            "error": the first interval in which LCA differs from the measured loss change by more
            than a share of `LARGEST_ERROR`. "batch": the LCA of the training batches sums to more
            than `LARGEST_RATIO` times the loss change of the training text.
        """
        found = {}
        if self._poor is not None:
            step, _, name, error, change = self._poor
            found["error"] = (
                f"At update {step} the cells of {name!r} sum to {change + error:.3g} nats, but the "
                f'loss changed by {change:.3g}: look at it more often, or record "simpson" with '
                'quadrature="adaptive".'
            )
        # The exact sum: it must not depend on where parts end.
        batch = math.fsum(self._batch)
        for name, (before, after) in self._ends.items():
            of_training = parse_estimator(name).text == TRAIN
            if of_training and abs(batch) > LARGEST_RATIO * abs(after - before) > 0:
                found["batch"] = (
                    f'"batch" sums to {batch:.3g} nats, but the loss of the training text changed '
                    f"by {after - before:.3g}: a batch's own gradient counts too much what the "
                    "update did to it. Compare cells by a probe."
                )
                break
        return found
