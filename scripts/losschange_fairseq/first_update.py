"""Make only the first update of a training, to compare two ways of computing it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from fairseq.data import iterators

from losschange.cube.format import open_cube
from losschange.cube.parts import PartStore
from losschange.recording.side_effects import without_side_effects

from .building import build_trainer
from .errors import TrainingError


@dataclass(frozen=True)
class FirstUpdate:
    """The loss and the LCA of the first update of a training.

    Parameters
    ----------
    loss : float
        Mean loss before the update, nats per target token.
    cells : array (layer, component, head)
        LCA of the update by the estimator `batch`, in nats; NaN where the model has no cell.
    """

    loss: float
    cells: np.ndarray

    def distance(self, other: FirstUpdate) -> tuple[float, float]:
        """The distance of another computation of the same update; infinite if not comparable.

        Returns
        -------
        loss : float
            Difference of the losses, as a share of this loss.
        cells : float
            Largest difference of a cell, as a share of the sum of this update's absolute LCA.
        """
        here, there = np.isfinite(self.cells), np.isfinite(other.cells)
        if here.shape != there.shape or not np.array_equal(here, there) or not self.loss:
            return float("inf"), float("inf")
        apart = np.abs(self.cells - other.cells)[here].max()
        loss = abs(other.loss - self.loss) / abs(self.loss)
        cells = apart / np.abs(self.cells[here]).sum()
        loss, cells = (float(x) if np.isfinite(x) else float("inf") for x in (loss, cells))
        return loss, cells


def first_update(arguments: list[str], folder: Path) -> FirstUpdate:
    """Make the first update of a training with a model of its own; random states are unchanged.

    Parameters
    ----------
    arguments : list of str
        Arguments of fairseq-train with one of the recording tasks, for a single process.
    folder : path
        An empty folder for the record.

    Raises
    ------
    TrainingError
        If the text makes no batch, or every update of the first epoch overflows.
    """
    with without_side_effects(torch.nn.Identity()):
        places = ["--lca-parts", str(folder / "parts"), "--save-dir", str(folder)]
        cfg, task, trainer = build_trainer([*arguments, *places])
        epochs = trainer.get_train_iterator(1)
        model = trainer.get_model()
        task.start_recording(trainer.optimizer, model, 0, trainer.get_criterion())
        trainer.begin_epoch(1)
        frequency = cfg.optimization.update_freq[0]
        for samples in iterators.GroupedIterator(epochs.next_epoch_itr(shuffle=True), frequency):
            if trainer.train_step(task.join_samples(samples, model), raise_oom=True) is not None:
                break
        else:
            raise TrainingError("no update of the first epoch could be made to compare it")
        task.recorder.flush()
    ((_, _, part),) = PartStore(folder / "parts").parts()
    with open_cube(part) as cube:
        return FirstUpdate(float(cube["loss"].values[0]), cube["lca"].values[0].copy())
