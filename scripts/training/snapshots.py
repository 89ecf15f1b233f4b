"""Weights of chosen updates that survive a training, and whole states to branch off from."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from pathlib import Path

import torch

from losschange_fairseq.training import ResumableTraining
from running.files import UserError, replace_when_complete

PRECISIONS = {"float16": torch.float16, "float32": torch.float32}


class Snapshots:
    """The snapshots and resume points of one training, in its state folder until it is complete.

    Parameters
    ----------
    folder : path
        State folder of the training; files are `snapshots/<update>.pt` and
        `resume_points/<update>.pt` in it.
    updates : collection of int
        Numbers of updates made when weights are kept; 0 = before training.
    resume_points : collection of int
        Numbers of updates made when the whole state is kept.
    precision : {"float16", "float32"}
        Of the weights.
    """

    def __init__(
        self,
        folder: Path,
        updates: Collection[int] = (),
        resume_points: Collection[int] = (),
        precision: str = "float16",
    ):
        self.updates = frozenset(updates)
        self.resume_points = frozenset(resume_points)
        self._weights = folder / "snapshots"
        self._states = folder / "resume_points"
        self._precision = PRECISIONS[precision]
        self._checked = False

    def missing(self, update: int) -> list[int]:
        """Updates up to and without `update` of which something is wanted and not there."""
        wanted = [(self._weights, self.updates), (self._states, self.resume_points)]
        return sorted(
            {
                number
                for folder, numbers in wanted
                for number in numbers
                if number < update and not (folder / f"{number}.pt").is_file()
            }
        )

    def __call__(self, run: ResumableTraining) -> None:
        """Keep what is wanted of the updates made so far; called before the first and after each.

        Raises
        ------
        UserError
            If something of an earlier update is wanted that an earlier try did not keep.
        """
        if not self._checked:
            self._refuse_missing(run.updates)
            self._checked = True
        if run.updates in self.updates:
            self.keep_weights(run.updates, run.model)
        if run.updates in self.resume_points:
            run.save()
            self.keep_state(run.updates, run.checkpoint)

    def _refuse_missing(self, updates: int) -> None:
        missing = self.missing(updates)
        if missing:
            raise UserError(
                f"{self._weights.parent} holds an unfinished training at update {updates} that "
                f"kept nothing of update {', '.join(map(str, missing))}, which `snapshots` or "
                "`resume_points` asks for now. Take these updates out, or remove the folder to "
                "start again"
            )

    def keep_weights(self, update: int, model: torch.nn.Module) -> None:
        """Write the weights after `update` updates; the same weights give the same bytes."""
        weights = {
            name: tensor.detach().to("cpu", self._precision)
            if tensor.is_floating_point()
            else tensor.detach().cpu()
            for name, tensor in model.state_dict().items()
        }
        path = self._weights / f"{update}.pt"
        with replace_when_complete(path) as temporary, open(temporary, "wb") as file:
            # To a file object: torch.save writes the name of a path into the file.
            torch.save({"update": update, "weights": weights}, file)

    def keep_state(self, update: int, checkpoint: Path) -> None:
        """Keep a checkpoint of the whole state after `update` updates."""
        with replace_when_complete(self._states / f"{update}.pt") as temporary:
            shutil.copyfile(checkpoint, temporary)

    def put_in_place(self, folder: Path) -> None:
        """Move everything below the folder of the finished model."""
        for kept in (self._weights, self._states):
            if not kept.is_dir():
                continue
            target = folder / kept.name
            target.mkdir(parents=True, exist_ok=True)
            for path in sorted(kept.glob("*.pt")):
                os.replace(path, target / path.name)


def read_snapshot(path: Path) -> tuple[int, dict[str, torch.Tensor]]:
    """Number of updates and weights by name of a snapshot, as it was saved.

    Raises
    ------
    ValueError
        If the file is no snapshot.
    """
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        return int(found["update"]), dict(found["weights"])
    except (KeyError, TypeError, RuntimeError, EOFError) as error:
        raise ValueError(f"{path} is no snapshot ({error}); train the model again") from error
