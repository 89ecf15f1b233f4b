"""Watching a recording in Weights & Biases while the training runs.

    run = wandb.init(mode="offline")
    attach(..., watchers=[WandbWatcher(run, every=100)])

Needs the package wandb.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .checking import check_every

if TYPE_CHECKING:
    from wandb import Run

UPDATE = "losschange/update"


class WandbWatcher:
    """Logs sums per layer and component, nats since the last point.

    Their names are "losschange/<estimator>/<layer>/<component>", such as
    "losschange/batch/dec.1/key". They are plotted over "losschange/update", so they do not depend
    on how often the training logs other values.

    Parameters
    ----------
    run : wandb.Run
        Return value of wandb.init, online or offline. The watcher does not close it.
    every : int
        Updates between two points.
    """

    def __init__(self, run: Run, every: int = 100):
        self.every = check_every(every)
        self._run = run
        run.define_metric(UPDATE)
        run.define_metric("losschange/*", step_metric=UPDATE)

    def write(self, update: int, sums: Mapping[str, float]) -> None:
        """Add a point to every line."""
        self._run.log({UPDATE: update, **{f"losschange/{n}": v for n, v in sums.items()}})

    def close(self) -> None:
        """Do nothing: the caller closes the wandb run."""
