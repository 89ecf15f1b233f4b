"""Save the weights of chosen updates, and whole states that further trainings can start from."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from pathlib import Path

import torch

from common.files import UserError, replace_when_complete
from losschange_fairseq.training import ResumableTraining

PRECISIONS = {"float16": torch.float16, "float32": torch.float32}


class Snapshots:
    """The snapshots and resume points of one training, kept in its state folder.

    Parameters
    ----------
    folder : path
        State folder of the training; files are `snapshots/<update>.pt` and
        `resume_points/<update>.pt` in it.
    updates : collection of int
        Save the weights after these numbers of updates; 0 = before training.
    resume_points : collection of int
        Save the whole state after these numbers of updates.
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
        """Updates before `update` whose wanted snapshot or resume point does not exist."""
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
        """Save the wanted files of the present update; called before the first and after each.

        Raises
        ------
        UserError
            If a wanted file of an earlier update was not saved when that update was made.
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
            # Pass a file object: given a path, torch.save writes the path's name into the file.
            torch.save({"update": update, "weights": weights}, file)

    def keep_state(self, update: int, checkpoint: Path) -> None:
        """Save a copy of the checkpoint, the whole state after `update` updates."""
        with replace_when_complete(self._states / f"{update}.pt") as temporary:
            shutil.copyfile(checkpoint, temporary)

    def put_in_place(self, folder: Path) -> None:
        """Put all saved files into the folder of the finished model.

        They stay in the state folder too, as links to the same data where the disk has them. If a
        later step fails, such as writing the cube to a full disk, Snakemake deletes the files of
        the model, and the next try has to put them in place again.
        """
        for kept in (self._weights, self._states):
            if not kept.is_dir():
                continue
            target = folder / kept.name
            target.mkdir(parents=True, exist_ok=True)
            for path in sorted(kept.glob("*.pt")):
                with replace_when_complete(target / path.name) as temporary:
                    try:
                        os.link(path, temporary)
                    except OSError:
                        shutil.copyfile(path, temporary)


def read_snapshot(path: Path) -> tuple[int, dict[str, torch.Tensor]]:
    """Read a snapshot: its number of updates, and its weights by name in the saved precision.

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
