"""A resumable training loop around fairseq's own Trainer.

fairseq builds the task, the model, the criterion, the optimizer and the batches and makes every
update; this loop decides when to validate, when to save and how to stop. A checkpoint is saved
together with the parts of the cube up to its update: a killed process loses only later updates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from fairseq import checkpoint_utils
from fairseq.data import iterators
from fairseq.logging import metrics
from torch import distributed

from losschange.cube.layout import CubeError
from losschange.cube.parts import PartStore
from losschange.errors import RecordingError

from .batches import samples_left_out, size_limit
from .building import build_trainer
from .checkpoints import CheckpointFolder
from .duties import DutyIntervals
from .errors import TrainingError
from .settings import settings_as_run
from .validation import validation_loss


class ResumableTraining:
    """One training run in one state folder.

    In data-parallel training every process has its own object for the same folder, but only the
    first process writes.

    Parameters
    ----------
    arguments : list of str
        Arguments of fairseq-train, with one of the recording tasks.
    state : path
        Folder of the checkpoints and of the parts of the cube.
    intervals : DutyIntervals
    before_save : callable
        Called before every checkpoint, to save files that belong to the same update.
    attributes : mapping, optional
        Global attributes of the parts, for readers of a training that still runs.
    after_update : callable (ResumableTraining)
        Called before the first update of this process and after every one.
    """

    def __init__(
        self,
        arguments: list[str],
        state: Path,
        intervals: DutyIntervals,
        before_save: Callable[[], None] = lambda: None,
        attributes: Mapping[str, object] | None = None,
        after_update: Callable[[ResumableTraining], None] = lambda run: None,
    ):
        self.intervals = intervals
        self._after_update = after_update
        self._attributes = dict(attributes or {})
        self._before_save = before_save
        self._writes = not distributed.is_initialized() or distributed.get_rank() == 0
        self.checkpoints = CheckpointFolder(state / "checkpoints")
        if self._writes:
            self.checkpoints.drop_unfinished()
        self.store = PartStore(state / "parts")
        restored = self.checkpoints.newest()
        arguments = [
            *arguments,
            *("--lca-parts", str(self.store.folder)),
            *("--save-dir", str(self.checkpoints.folder)),
            *("--restore-file", str(restored or self.checkpoints.folder / "none.pt")),
            "--reset-dataloader",  # `_load` restores the position in the batches
        ]
        self.cfg, self.task, self.trainer = build_trainer(arguments)
        self._epochs = self._load(restored)
        if self._writes:
            self.store.drop_after(self.updates)

    @property
    def updates(self) -> int:
        """Updates made so far."""
        return self.trainer.get_num_updates()

    @property
    def model(self) -> torch.nn.Module:
        """The model with its present parameters."""
        return self.trainer.get_model()

    @property
    def checkpoint(self) -> Path:
        """Path where `save` writes the state after the updates made so far."""
        return self.checkpoints.path(self.updates)

    def run(self, report: Callable[[int, dict], None], stop: Callable[[], bool]) -> bool:
        """Train until the end, or until `stop()` returns True.

        Parameters
        ----------
        report : callable (update, {"loss": nats per target token, "tokens": number})
        stop : callable
            Called after every update; if it returns True, the state is saved and `run` returns.

        Returns
        -------
        bool
            Whether the training is complete.

        Raises
        ------
        TrainingError
            If the loss is not finite or memory runs out, naming the update.
        """
        self.task.start_recording(
            self.trainer.optimizer,
            self.trainer.get_model(),
            self.updates,
            self.trainer.get_criterion(),
            self._recorder_state,
        )
        if self._writes:
            self.task.recorder.attributes |= self._attributes
        if self.updates == 0:
            self._validate()
        self._after_update(self)
        if self.updates >= self.intervals.total:
            return True
        for samples in self._batches():
            if (numbers := self._update(samples)) is None:
                continue
            report(self.updates, numbers)
            self._after_update(self)
            complete = self.updates >= self.intervals.total
            if complete or self.updates % self.intervals.validation == 0:
                self._validate()
            if complete:
                self.task.finish_recording()
                # Until now, the updates since the last checkpoint are only in memory.
                self.save()
                return True
            if stop():
                self.save()
                return False
            if self.updates % self.intervals.checkpoint == 0:
                self.save()
        raise AssertionError("epochs follow each other without end")

    def save(self) -> None:
        """Write the parts up to this update and the checkpoint; delete older checkpoints.

        Raises
        ------
        TrainingError
            If they cannot be written, most often because the disk is full.
        """
        if not self._writes:
            return
        path = self.checkpoint
        try:
            # Save these files first, like the parts: on resuming, entries later than the checkpoint
            # are dropped, but missing ones could not be restored.
            self._before_save()
            extra = {
                "train_iterator": self._epochs.state_dict(),
                "recorder": self.task.recorder.state_dict(),
                "passes": self.task.passes,
            }
            self._write_checkpoint(path, extra)
        except (OSError, RuntimeError, CubeError) as error:
            # On a full disk torch raises RuntimeError, the cube's writer a CubeError with a cause.
            of_the_disk = isinstance(error, CubeError) and error.__cause__ is not None
            if isinstance(error, RecordingError | CubeError) and not of_the_disk:
                raise
            reason = (str(error) or repr(error)).splitlines()[0]
            raise TrainingError(
                f"update {self.updates}: the state could not be saved to {path.parent} ({reason}). "
                "Is the disk full? The last checkpoint is kept: make room and run the same again"
            ) from error
        self.checkpoints.drop_older()

    def save_model(self, path: Path) -> None:
        """Save the trained model alone, without the state of the optimizer."""
        self.trainer.cfg.checkpoint.no_save_optimizer_state = True
        self._write_checkpoint(path, {})

    def left_out(self) -> dict[str, tuple[int, int]]:
        """For each split: how many samples are too long to be used, and how many there are."""
        return {
            split: (samples_left_out(dataset, self._limit()), len(dataset))
            for split, dataset in self.task.datasets.items()
            if split in ("train", "valid")
        }

    def _limit(self):
        return size_limit(self.task, self.trainer.get_model(), self.cfg.dataset.max_tokens)

    def settings_as_run(self) -> dict[str, object]:
        """Hyper-parameters of the built objects, under the names of the paper's Table 2."""
        return settings_as_run(self.cfg, self.trainer.get_model(), self.task.passes)

    def _load(self, restored: Path | None):
        """Load the newest checkpoint, if there is one; return the iterator over epochs."""
        try:
            state, epochs = checkpoint_utils.load_checkpoint(self.cfg.checkpoint, self.trainer)
            if restored is not None and state is None:
                raise ValueError("fairseq did not find it")
        except Exception as error:
            # Reading a truncated file can raise any type of error.
            if isinstance(error, IndexError) or "dataset is empty" in str(error):
                left_out, samples = self.left_out()["train"]
                raise TrainingError(
                    f"the training text makes no batch: {left_out} of its {samples} samples are "
                    f"longer than max_tokens {self.cfg.dataset.max_tokens}, and fairseq drops a "
                    "last batch that is no multiple of eight. Take more text, or raise max_tokens"
                ) from None
            if restored is None:
                raise
            reason = (str(error) or repr(error)).splitlines()[0]
            raise TrainingError(
                f"{restored} could not be loaded ({reason}); remove it to go back one more"
            ) from error
        self._recorder_state = (state or {}).get("recorder", {})
        if state is None:
            return epochs
        self.task.passes = state.get("passes")
        # fairseq's own code starts the reading processes twice; later epochs get other batches.
        position, dataset = state["train_iterator"], self.task.dataset("train")
        if not self.task.can_reuse_epoch_itr(dataset):
            epochs = self.trainer.get_train_iterator(position["epoch"], load_dataset=False)
        self.trainer.lr_step(position["epoch"])
        # Loading the position starts the reading processes: set the masks of this epoch before.
        dataset.set_epoch(position["epoch"])
        epochs.load_state_dict(position)
        return epochs

    def _write_checkpoint(self, path: Path, extra_state: dict) -> None:
        self.trainer.consolidate_optimizer()
        try:
            self.trainer.save_checkpoint(str(path), extra_state)
        finally:
            path.with_name(f"{path.name}.tmp").unlink(missing_ok=True)

    def _batches(self) -> Iterator[list]:
        """The batches of every update from here on, epoch after epoch."""
        while True:
            epoch = self._epochs.next_epoch_itr(shuffle=True)
            self.trainer.begin_epoch(self._epochs.epoch)
            for samples in iterators.GroupedIterator(epoch, self.cfg.optimization.update_freq[0]):
                # Where a worker has a batch less, fairseq adds an empty one, which would make the
                # token counts of the other workers wrong.
                yield [sample for sample in samples if sample] or samples[:1]
            self.trainer.lr_step(self._epochs.epoch)
            self._epochs = self.trainer.get_train_iterator(
                self._epochs.next_epoch_idx, load_dataset=False
            )

    def _update(self, samples: list) -> dict | None:
        """Loss (nats per target token) and tokens of an update; None after an overflow."""
        number = self.updates + 1
        try:
            samples = self.task.join_samples(samples, self.trainer.get_model())
            with metrics.aggregate("train"):
                numbers = self.trainer.train_step(samples, raise_oom=True)
        except FloatingPointError as error:
            self.checkpoints.drop_crash()
            raise TrainingError(
                f"update {number}: {error}. The last checkpoint is kept; lower the learning rate "
                "or train in float32"
            ) from None
        except RuntimeError as error:
            self.checkpoints.drop_crash()
            if "out of memory" not in str(error) and "can't allocate memory" not in str(error):
                raise
            raise TrainingError(
                f"update {number}: out of memory. Set micro_batches to a larger number, lower "
                "max_tokens and raise update_frequency by the same factor, or lower probe_tokens; "
                "the last checkpoint is kept"
            ) from None
        if numbers is None:
            return None
        if not math.isfinite(numbers["loss"]):
            raise TrainingError(
                f"update {number}: the loss is {numbers['loss']}. The last checkpoint is kept; "
                "lower the learning rate or train in float32"
            )
        return {
            "loss": numbers["loss"] * math.log(2),  # fairseq reports bits
            "tokens": int(metrics.get_meter("train", "wpb").val),  # of all workers
        }

    def _validate(self) -> None:
        loss = validation_loss(self.cfg, self.task, self.trainer, self._limit())
        if self._writes:
            self.task.recorder.add_valid_loss(loss)
