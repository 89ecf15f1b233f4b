"""Watching a recording in TensorBoard while the training runs.

    attach(..., watchers=[TensorBoardWatcher("runs/losschange", every=100)])

Needs the package tensorboard.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from torch.utils.tensorboard import SummaryWriter

from .checking import check_every


class TensorBoardWatcher:
    """Writes sums per layer and component, nats since the last point, as scalars.

    Their tags are "losschange/<estimator>/<layer>/<component>", such as
    "losschange/batch/dec.1/key".

    Parameters
    ----------
    folder : path
        TensorBoard's log folder.
    every : int
        Updates between two points.
    """

    def __init__(self, folder: str | os.PathLike[str], every: int = 100):
        self.every = check_every(every)
        self._writer = SummaryWriter(os.fspath(folder))

    def write(self, update: int, sums: Mapping[str, float]) -> None:
        """Add a point to every line."""
        for name, value in sums.items():
            self._writer.add_scalar(f"losschange/{name}", value, update)
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()
