"""Trainings that a check builds, runs update by update and measures."""

from __future__ import annotations

import math
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .clock import Clock


class Training:
    """A training as the workflow builds it, whose updates are made one by one.

    Parameters
    ----------
    model : running.models.Model
    settings : mapping
        Fields of running.configuration.Training.
    data : path
        Folder of token ids.
    folder : path
        For the parts of the cube; must not hold another training's.
    device : {"cpu", "cuda"}
    recording : mapping or None
        The settings from running.configuration_recording.Recording.settings; None records nothing.
    data_workers : int
        Processes that read batches ahead.
    seed : int

    Attributes
    ----------
    batches : iterator of list
        The micro-batches of every update, epoch after epoch.
    """

    def __init__(
        self, model, settings, data, folder, device, recording=None, data_workers=0, seed=1
    ):
        from losschange_fairseq.building import build_trainer
        from training.fairseq_arguments import fairseq_arguments

        self.settings, self.parts = settings, folder / "parts"
        arguments = fairseq_arguments(
            model, settings, data, seed, device, recording or {}, data_workers=data_workers
        )
        if recording is not None:
            arguments += ["--lca-parts", str(self.parts)]
        _, self.task, self.trainer = build_trainer([*arguments, "--save-dir", str(folder)])
        self._cuda = device == "cuda"
        self._epoch = None
        self.batches = self._endless(settings["update_frequency"])

    @property
    def model(self):
        """The model with its present parameters."""
        return self.trainer.get_model()

    @property
    def parameters(self) -> int:
        """Number of trainable parameters, tied ones once."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def update(self) -> tuple[list, float | None]:
        """Make one update: its samples, and the loss in nats; None where fp16 overflowed."""
        samples = self.task.join_samples(next(self.batches), self.model)
        # Without raise_oom fairseq would silently skip samples that do not fit into memory.
        numbers = self.trainer.train_step(samples, raise_oom=True)
        return samples, None if numbers is None else numbers["loss"] * math.log(2)

    def run(self, number: int, clock: Clock, most: float = math.inf) -> Turn:
        """Make some updates, fewer when they take more than `most` seconds.

        Raises
        ------
        OutOfTime
            At the limit of the clock.
        """
        import torch

        start, start_of_processor, made = time.perf_counter(), time.process_time(), []
        updates = 0
        while updates < number and (updates == 0 or time.perf_counter() - start < most):
            clock.check()
            made += self.update()[0]
            updates += 1
        if self._cuda:
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
        processor = time.process_time() - start_of_processor
        tokens = sum(int(sample["ntokens"]) for sample in made)
        flops = operations(self.model, made)
        return Turn(updates, *(x / updates for x in (seconds, processor, tokens, flops)))

    def finish(self) -> None:
        """Write what is recorded so far to the parts."""
        self.task.finish_recording()
        self.task.recorder.flush()

    def close(self) -> None:
        """Stop the thread and the processes that read ahead; no further update can be made."""
        buffered = getattr(self._epoch, "_itr", None)
        consumer = getattr(buffered, "_consumer", None)
        self.batches = iter(())
        if consumer is not None:
            # The thread ends after its next batch: make room in the queue for it.
            consumer._max_len = 0
            while consumer.is_alive():
                if not buffered._queue.empty():
                    buffered._queue.get()
                consumer.join(0.01)
        self._epoch = None

    def _endless(self, frequency: int) -> Iterator[list]:
        """The batches of every update, epoch after epoch."""
        from fairseq.data import iterators

        epochs = self.trainer.get_train_iterator(1)
        while True:
            self._epoch = epochs.next_epoch_itr(shuffle=True)
            for samples in iterators.GroupedIterator(self._epoch, frequency):
                if len(samples) == frequency:
                    yield samples
            epochs = self.trainer.get_train_iterator(epochs.next_epoch_idx, load_dataset=False)


@dataclass(frozen=True)
class Turn:
    """Some updates of one training: their number, and the means over them.

    Attributes
    ----------
    updates : int
    seconds, processor : float
        Wall time; time on all processors together.
    tokens : float
        Target tokens.
    flops : float
        See `operations`.
    """

    updates: int
    seconds: float
    processor: float
    tokens: float
    flops: float


@dataclass
class Measured:
    """A training in a comparison, and its turns.

    Attributes
    ----------
    name : str
        Name of the recording.
    memory : float
        Peak bytes on the device, less those that all trainings hold between updates.
    """

    name: str
    training: Training
    turns: list[Turn] = field(default_factory=list)
    memory: float = 0.0


def take_turns(rows: Sequence[Measured], length: int, turns: int, clock: Clock, cuda: bool) -> None:
    """Let trainings make their updates in turns, so that other load affects all of them.

    Ends after `turns` turns of every training, or later, when the last three of each are within
    2 % of each other; after three times as many at the latest, or half a turn before the limit.

    Parameters
    ----------
    rows : sequence of Measured
        Warmed up.
    length : int
        Updates of a turn.
    turns : int
    clock : Clock
    cuda : bool
    """
    import torch

    slowest = 0.0
    for turn in range(3 * turns):
        start = time.monotonic()
        if turn >= turns and all(_stable(row.turns) for row in rows):
            return
        if turn and clock.left() < 1.5 * slowest:
            return
        for row in rows[:: 1 if turn % 2 else -1]:
            held = 0
            if cuda:
                torch.cuda.reset_peak_memory_stats()
                held = torch.cuda.memory_allocated()
            row.turns.append(row.training.run(length, clock))
            if cuda:
                row.memory = max(row.memory, torch.cuda.max_memory_allocated() - held)
        slowest = max(slowest, time.monotonic() - start)


def _stable(turns: Sequence[Turn]) -> bool:
    last = [turn.seconds for turn in turns[-3:]]
    return len(last) == 3 and max(last) <= 1.02 * min(last)


def operations(model, samples: Sequence[Mapping]) -> float:
    """Floating point operations of all products with weights, forward and backward.

    Those of attention scores and of the weighted sums of values are left out.
    """
    source = sum(int(sample["net_input"]["src_tokens"].ne(1).sum()) for sample in samples)
    target = sum(int(sample["target"].ne(1).sum()) for sample in samples)
    seen = {"encoder": source, "decoder": sum(int(sample["ntokens"]) for sample in samples)}
    total, vocabulary = 0, 0
    for name, parameter in model.named_parameters():
        if parameter.dim() == 2 and ".layers." in name:
            cross = re.search(r"encoder_attn\.[kv]_proj", name)
            total += parameter.numel() * (source if cross else seen[name.partition(".")[0]])
        elif parameter.dim() == 2:
            vocabulary = max(vocabulary, parameter.numel())
    return 6.0 * (total + vocabulary * target)


def measured_peak(cuda: bool) -> float:
    """Operations per second of a large product in bfloat16, as fast as the device gets."""
    import torch

    size, kind = (8192, torch.bfloat16) if cuda else (512, torch.float32)
    one = torch.randn(size, size, dtype=kind, device="cuda" if cuda else "cpu")
    best, clock = math.inf, time.perf_counter if cuda else time.process_time
    for _ in range(10):
        start = clock()
        for _ in range(5):
            one @ one
        if cuda:
            torch.cuda.synchronize()
        best = min(best, (clock() - start) / 5)
    return 2 * size**3 / best


def drawn_tokens(folder: Path, scale, pair: bool) -> Path:
    """Token ids by Zipf's law for one objective's kind of text, made once."""
    from token_ids import write_zipf_tokens

    place = folder / f"drawn-{scale.name}"
    data = place / ("pair" if pair else "one")
    done = data / "complete"
    if not done.exists():
        shutil.rmtree(data, ignore_errors=True)
        place.mkdir(parents=True, exist_ok=True)
        write_zipf_tokens(place, pair, scale.vocabulary, scale.sentences)
        done.touch()
    return data


def new_folder(cache: Path, *names: str) -> Path:
    """An empty folder for a training, which is no result, in the cache.

    Its name has only letters, digits and hyphens: fairseq reads others as its own syntax.
    """
    name = re.sub(r"[^a-z0-9]+", "-", " ".join(names).lower())
    folder = cache / "trainings" / name
    shutil.rmtree(folder, ignore_errors=True)
    return folder
