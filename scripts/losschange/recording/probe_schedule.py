"""When probes are evaluated: every so many updates of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from losschange.cube.estimators import parse_estimator

from .allocation import CellSum, ExtraReductions, FlatVector
from .partition import Partition
from .probe_integrator import Evaluation, Measure, ProbeIntegrator

# Copies of the parameters on the device: theta before the update, and two more.
MOST_COPIES = 3


class ProbeSchedule:
    """The probes of one stride. Their intervals begin and end together.

    Parameters
    ----------
    partition : Partition
    stride : int
        Updates between two evaluations.
    integrators : sequence of ProbeIntegrator
    device : torch device
    """

    def __init__(
        self,
        partition: Partition,
        stride: int,
        integrators: Sequence[ProbeIntegrator],
        device: torch.device | str,
    ):
        self.stride = stride
        self.integrators = list(integrators)
        self.start: int | None = None
        self._partition = partition
        self._device = device
        # theta where the interval began. With stride 1 the recorder's own vector holds it.
        self._theta_before = FlatVector(partition, device) if stride > 1 else None

    @property
    def estimators(self) -> list[str]:
        """Names of the estimators that are recorded at this stride."""
        return [name for integrator in self.integrators for name in integrator.estimators]

    def begin(self, update: int, parameters: Sequence[Tensor]) -> None:
        """Begin an interval after `update` updates, at the model's present parameters."""
        self.start = update
        if self._theta_before is not None:
            self._theta_before.copy(parameters)
        for integrator in self.integrators:
            integrator.begin(integrator.evaluate())

    def end(
        self,
        update: int,
        parameters: Sequence[Tensor],
        negative_step: FlatVector,
        evaluations: dict[Measure, Evaluation],
    ) -> dict[str, list[Tensor]]:
        """End the interval after `update` updates, and begin the next.

        Parameters
        ----------
        update : int
        parameters : sequence of Tensor
            theta at the end.
        negative_step : FlatVector
            theta_t - theta_{t+1} of the last update.
        evaluations : dict
            Evaluations made after this update already; those made here are added.

        Returns
        -------
        mapping of estimator to the columns of its record
        """
        self.start = update
        if self._theta_before is not None:
            negative_step = self._theta_before.subtract(parameters)
        records: dict[str, list[Tensor]] = {}
        for integrator in self.integrators:
            if integrator.measure in evaluations:
                # A copy, because each integrator multiplies into the gradient that it keeps.
                loss, shared = evaluations[integrator.measure]
                gradient = FlatVector(self._partition, self._device)
                gradient.flat.copy_(shared.flat)
                evaluation = loss, gradient
            else:
                evaluation = evaluations[integrator.measure] = integrator.evaluate()
            records |= integrator.end(parameters, negative_step, evaluation)
        if self._theta_before is not None:
            self._theta_before.copy(parameters)
        return records

    def state_dict(self, update: int) -> dict[str, Any]:
        """State from which another process can resume an open interval; {} without one."""
        if self.start is None or self._theta_before is None or self.start == update:
            return {}
        return {
            "start": self.start,
            "parameters": self._theta_before.flat.to("cpu", copy=True),
            "tracks": {_key(one): one.state_dict() for one in self.integrators},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume an interval that another process began, if that had all of these probes."""
        if self._theta_before is None or not state["tracks"].keys() >= set(
            map(_key, self.integrators)
        ):
            return
        self.start = int(state["start"])
        self._theta_before.flat.copy_(state["parameters"])
        for integrator in self.integrators:
            integrator.load_state_dict(state["tracks"][_key(integrator)])


def make_schedules(
    partition: Partition,
    cell_sum: CellSum,
    strides: Mapping[str, int],
    probes: Mapping[str, Measure],
    tolerance: float | str | None,
    details: Mapping[str, ExtraReductions],
    device: torch.device | str,
) -> list[ProbeSchedule]:
    """One schedule per stride, with one integrator per probe: both rules share gradients.

    Gradients that would be more than MOST_COPIES copies of the parameters on the device are kept
    on the host, those needed least often first.
    """
    # Stride to text to rule to the estimator's name.
    names: dict[int, dict[str, dict[str, str]]] = {}
    for name, stride in strides.items():
        estimator = parse_estimator(name)
        if estimator.is_probe:
            names.setdefault(stride, {}).setdefault(estimator.text, {})[estimator.rule] = name
    room = MOST_COPIES - 1 - sum(stride > 1 for stride in names)
    found = []
    for stride, texts in sorted(names.items()):
        integrators = []
        for text, rules in texts.items():
            room -= 1
            integrators.append(
                ProbeIntegrator(
                    partition,
                    cell_sum,
                    probes[text],
                    rules.get("probe"),
                    rules.get("simpson"),
                    tolerance,
                    details,
                    device,
                    on_host=room < 0,
                )
            )
        found.append(ProbeSchedule(partition, stride, integrators, device))
    return found


def _key(integrator: ProbeIntegrator) -> str:
    return ",".join(integrator.estimators)
