"""When probes are evaluated: every so many updates of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from losschange.cube.format import PROBES

from .allocation import CellSum, ExtraReductions, FlatVector
from .partition import Partition
from .probe_integrator import Measure, ProbeIntegrator

# Copies of the parameters on the device: theta before the update, and two more.
MOST_COPIES = 3


class ProbeSchedule:
    """The probes of one stride. Their intervals begin and end together.

    Parameters
    ----------
    partition : Partition
    stride : int
        Updates between two looks.
    tracks : sequence of ProbeIntegrator
    device : torch device
    """

    def __init__(
        self, partition: Partition, stride: int, tracks: Sequence[ProbeIntegrator], device
    ):
        self.stride = stride
        self.tracks = list(tracks)
        self.start: int | None = None
        self._partition = partition
        self._device = device
        # With stride 1 the recorder's own row holds where the interval began.
        self._anchor = FlatVector(partition, device) if stride > 1 else None

    @property
    def estimators(self) -> list[str]:
        """Names of the estimators that are recorded at this stride."""
        return [name for track in self.tracks for name in track.estimators]

    def begin(self, update: int, parameters: Sequence[Tensor]) -> None:
        """Begin an interval after `update` updates, at the model's present parameters."""
        self.start = update
        if self._anchor is not None:
            self._anchor.copy(parameters)
        for track in self.tracks:
            track.begin(track.look())

    def end(
        self,
        update: int,
        parameters: Sequence[Tensor],
        step: FlatVector,
        looks: dict[Measure, tuple[Tensor, FlatVector]],
    ) -> dict[str, list[Tensor]]:
        """End the interval after `update` updates, and begin the next.

        Parameters
        ----------
        update : int
        parameters : sequence of Tensor
            theta at the end.
        step : FlatVector
            theta_t - theta_{t+1} of the last update.
        looks : dict
            Looks taken after this update already; those taken here are added.

        Returns
        -------
        mapping of estimator to the columns of its record
        """
        self.start = update
        if self._anchor is not None:
            step = self._anchor.subtract(parameters)
        records = {}
        for track in self.tracks:
            if track.measure in looks:
                # Each track multiplies into the gradient that it keeps.
                loss, shared = looks[track.measure]
                gradient = FlatVector(self._partition, self._device)
                gradient.flat.copy_(shared.flat)
                look = loss, gradient
            else:
                look = looks[track.measure] = track.look()
            records |= track.end(parameters, step, look)
        if self._anchor is not None:
            self._anchor.copy(parameters)
        return records

    def state_dict(self, update: int) -> dict[str, object]:
        """What an interval that is still open needs to go on elsewhere; {} if none is."""
        if self.start is None or self._anchor is None or self.start == update:
            return {}
        return {
            "start": self.start,
            "parameters": self._anchor.flat.to("cpu", copy=True),
            "tracks": {_key(track): track.state_dict() for track in self.tracks},
        }

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Go on with an interval that another process began, if it began it for the same probes."""
        if state["tracks"].keys() != {_key(track) for track in self.tracks}:
            return
        self.start = int(state["start"])
        self._anchor.flat.copy_(state["parameters"])
        for track in self.tracks:
            track.load_state_dict(state["tracks"][_key(track)])


def make_schedules(
    partition: Partition,
    cell_sum: CellSum,
    strides: Mapping[str, int],
    probes: Mapping[str, Measure],
    tolerance: float | str | None,
    details: Mapping[str, ExtraReductions],
    device,
) -> list[ProbeSchedule]:
    """One schedule per stride, with one integrator per probe: both rules share gradients.

    Gradients that would be more than MOST_COPIES copies of the parameters on the device are kept
    on the host, those looked at least often first.
    """
    names: dict[int, dict[str, dict[str, str]]] = {}
    for name, stride in strides.items():
        if name in PROBES:
            rule = name.removesuffix("_valid")
            names.setdefault(stride, {}).setdefault(PROBES[name], {})[rule] = name
    room = MOST_COPIES - 1 - sum(stride > 1 for stride in names)
    found = []
    for stride, splits in sorted(names.items()):
        tracks = []
        for split, rules in splits.items():
            room -= 1
            tracks.append(
                ProbeIntegrator(
                    partition,
                    cell_sum,
                    probes[split],
                    rules.get("probe"),
                    rules.get("simpson"),
                    tolerance,
                    details,
                    device,
                    parked=room < 0,
                )
            )
        found.append(ProbeSchedule(partition, stride, tracks, device))
    return found


def _key(track: ProbeIntegrator) -> str:
    return ",".join(track.estimators)
