"""Probes and fresh batches of a fairseq training: text other than the update's own batch."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from fairseq import utils
from fairseq.data import indexed_dataset
from torch import Tensor

from losschange.cube.estimators import TRAIN, VALID
from losschange.errors import RecordingError
from losschange.recording.parameters import trainable_parameters
from losschange.recording.probe_integrator import Gradients
from losschange.recording.side_effects import with_parameters, without_side_effects

from .batches import size_limit
from .texts import TargetFilter

# Keys of random draws. All texts of one split draw the same sentences, so that these texts differ
# only in which tokens count.
SEED_OF_SPLIT = {TRAIN: 0, VALID: 1}
SEED_OF_FRESH, SEED_OF_OTHER_SPLITS, SEED_OF_SENTENCES = 2, 3, 4
# Largest number of draws of a fresh batch until it has a token that counts.
MOST_DRAWS = 100
# Half precision overflows at 65,504: use a smaller loss scale than training uses.
SCALE_MARGIN = 8


class BatchGradient:
    """Loss and gradient of given samples, without side effects on the training.

    Parameters
    ----------
    model : fairseq model
        Not its data-parallel wrapper, whose hooks would communicate with the other processes.
    criterion : fairseq criterion
    optimizer : fairseq optimizer
        Its loss scale, if it has one, prevents underflow in half precision.
    """

    def __init__(self, model, criterion, optimizer):
        self._model, self._criterion, self._optimizer = model, criterion, optimizer
        self._parameters = [parameter for _, parameter in trainable_parameters(model)]

    def __call__(
        self,
        samples: Sequence[Mapping],
        at: Sequence[Tensor] | None = None,
        training: bool = False,
        seed: int = 0,
    ) -> tuple[Tensor, Gradients]:
        """Mean loss (nats per target token) and its float32 gradients.

        Parameters
        ----------
        samples : sequence of fairseq samples
        at : sequence of Tensor, optional
            Float32 parameters to use instead of the model's own.
        training : bool
            Whether dropout is on.
        seed : int
            Seed of dropout.
        """
        scaler = getattr(self._optimizer, "scaler", None)
        scale = 1.0 if scaler is None else scaler.loss_scale / SCALE_MARGIN
        total: float | Tensor = 0.0
        size, sums = 0, None
        with (
            with_parameters(self._parameters, at),
            without_side_effects(self._model, training, seed),
        ):
            for sample in samples:
                loss, sample_size, _ = self._criterion(self._model, sample)
                found = torch.autograd.grad(loss * scale, self._parameters, allow_unused=True)
                sums = _sum(sums, found)
                total, size = total + loss.detach().double(), size + sample_size
        # Divide once, at the end, so that rounding does not depend on the number of samples.
        size = size.double() if isinstance(size, Tensor) else size
        assert isinstance(total, Tensor) and sums is not None  # there are samples
        factor = 1.0 / (size * scale)
        return total / size, [None if part is None else part.mul_(factor) for part in sums]


class ProbeText:
    """Loss and gradient of text that never changes.

    Parameters
    ----------
    gradient : BatchGradient
    samples : sequence of fairseq samples
        On the model's device; the masks of a masked language model are part of them.
    """

    def __init__(self, gradient: BatchGradient, samples: Sequence[Mapping]):
        self._gradient, self.samples = gradient, list(samples)

    def __call__(self, at: Sequence[Tensor] | None = None) -> tuple[Tensor, Gradients]:
        """Loss and gradients without dropout, at the given parameters or the model's own."""
        return self._gradient(self.samples, at)


class FreshText:
    """Gradient of text newly drawn for every update, with dropout.

    Parameters
    ----------
    gradient : BatchGradient
    source : SampleSource
    tokens : int
        Tokens per draw.
    select : TargetFilter, optional
        Selects the target tokens that count; by default all count.

    Raises
    ------
    RecordingError
        When called, if none of MOST_DRAWS draws has a token that counts.
    """

    def __init__(
        self,
        gradient: BatchGradient,
        source: SampleSource,
        tokens: int,
        select: TargetFilter | None = None,
    ):
        self._gradient, self._source, self._tokens = gradient, source, tokens
        self._select = select

    def __call__(self, update: int) -> Gradients:
        """Gradients at the model's present parameters; all draws are seeded by the update."""
        # The masks of a masked language model depend on the epoch.
        self._source.dataset.set_epoch(update)
        key = (SEED_OF_FRESH, update, *self._source.key_of_other_splits)
        samples = self._selected(self._source.draw(self._tokens, key), update, key)
        return self._gradient(samples, training=True, seed=update)[1]

    def _selected(
        self, samples: Sequence[Mapping], update: int, key: tuple[int, ...]
    ) -> list[Mapping]:
        """The samples with only the selected targets; drawn again while none is selected."""
        if self._select is None:
            return list(samples)
        for number in range(1, MOST_DRAWS + 1):
            if found := self._select(samples):
                return found
            samples = self._source.draw(self._tokens, (*key, number))
        raise RecordingError(
            f"update {update}: no target token counts in {MOST_DRAWS} fresh batches of the split "
            f"{self._source.split!r}; raise fresh_tokens, or let more tokens count"
        )


class SampleSource:
    """Draws samples of a split from its own copy of the dataset, not the one of training.

    Parameters
    ----------
    task : fairseq task
    split : str
        A split in the task's data folder.
    model : fairseq model
    seed : int
    max_tokens : int or None
        Tokens per batch, and of the longest sample; None = all samples in one batch.
    sentences : int, optional
        Use only this number of samples of the split, drawn by seed; by default all.

    Raises
    ------
    RecordingError
        If the data folder has no such split.
    """

    def __init__(
        self,
        task,
        split: str,
        model,
        seed: int,
        max_tokens: int | None,
        sentences: int | None = None,
    ):
        side = copy.copy(task)
        side.datasets, side.dataset_to_epoch_iter = {}, {}
        with without_side_effects(model):
            try:
                side.load_dataset(split, combine=False, epoch=1)
            except FileNotFoundError:
                raise RecordingError(
                    f"the data folder {task.options.data} has no split {split!r} to record; "
                    "binarise it with the model's vocabulary, or take its text out of the recording"
                ) from None
        self.dataset = side.dataset(split)
        self.split = split
        # For a masked language model: use the same masks as validation.
        self.dataset.set_epoch(1)
        self._seed, self._max_tokens = seed, max_tokens
        self._limit = size_limit(task, model, max_tokens)
        self._cuda = next(model.parameters()).is_cuda
        self._model = model
        self.sentences = sentences
        size = len(self.dataset)
        self._among = np.arange(size)
        if sentences is not None and sentences < size:
            key = [seed, SEED_OF_SENTENCES, *self.probe_key]
            self._among = np.random.default_rng(key).choice(size, size=sentences, replace=False)

    @property
    def key_of_other_splits(self) -> tuple[int, ...]:
        """Key that makes fresh draws of other splits differ from those of the training split."""
        return () if self.split == TRAIN else (zlib.crc32(self.split.encode()),)

    @property
    def probe_key(self) -> tuple[int, ...]:
        """Key of the draw that probes of this split use."""
        if self.split in SEED_OF_SPLIT:
            return (SEED_OF_SPLIT[self.split],)
        return (SEED_OF_OTHER_SPLITS, *self.key_of_other_splits)

    def draw(self, tokens: int, key: Sequence[int]) -> list[Mapping]:
        """Batches of about `tokens` tokens, or of the whole split if it has fewer.

        Parameters
        ----------
        tokens : int
            Counted on the longer side of a sentence pair, without padding.
        key : sequence of int
            The same key draws the same samples.

        Raises
        ------
        RecordingError
            If every sample is too long.
        """
        random = np.random.default_rng([self._seed, *key])
        size = len(self._among)
        # A sample has at least two tokens.
        chosen = random.choice(size, size=min(size, -(-tokens // 2)), replace=False)
        chosen, _ = self.dataset.filter_indices_by_size(self._among[chosen], self._limit)
        lengths: list[int] = []
        for index in chosen:
            length = int(self.dataset.num_tokens(index))
            if lengths and sum(lengths) + length > tokens:
                break
            lengths.append(length)
        return self._batches(chosen[: len(lengths)], lengths)

    def whole(self) -> list[Mapping]:
        """Batches of all samples that are short enough; raises as `draw` does."""
        chosen, _ = self.dataset.filter_indices_by_size(self._among, self._limit)
        return self._batches(chosen, [int(self.dataset.num_tokens(index)) for index in chosen])

    def _batches(self, chosen: np.ndarray, lengths: Sequence[int]) -> list[Mapping]:
        """The chosen samples, of the given lengths in tokens, in batches on the model's device."""
        if not len(lengths):
            raise RecordingError(
                f"no sample of the {self.split} text is short enough to be used: all of the "
                f"{len(self._among)} are longer than max_tokens {self._max_tokens} or than the "
                "model's positions. Raise max_tokens, or take other text"
            )
        # Batch sentences of similar length together: less padding.
        chosen = chosen[np.argsort(lengths, kind="stable")]
        batches = self.dataset.batch_by_size(chosen, max_tokens=self._max_tokens)
        with without_side_effects(self._model):
            samples = [
                self.dataset.collater([self.dataset[index] for index in batch]) for batch in batches
            ]
        return [utils.move_to_cuda(sample) if self._cuda else sample for sample in samples]


def word_counts(data: Path, words: int, language: str | None = None) -> np.ndarray:
    """How often each of the `words` words of a vocabulary occurs in the training text.

    In a parallel text both sides are counted, or only the side of `language`.
    """
    counts = np.zeros(words, dtype=np.int64)
    for path in sorted(data.glob("train.*bin" if language is None else f"train.*.{language}.bin")):
        kind = indexed_dataset.MMapIndexedDataset.Index(str(path.with_suffix(".idx"))).dtype
        ids = np.memmap(path, dtype=kind, mode="r")
        for start in range(0, len(ids), 2**24):
            counts += np.bincount(ids[start : start + 2**24], minlength=words)
    return counts


def _sum(sums: list[Tensor | None] | None, found: Gradients) -> list[Tensor | None]:
    """Gradients in float32, added up."""
    found = [None if part is None else part.float() for part in found]
    if sums is None:
        return found
    return [
        a if b is None else b if a is None else a.add_(b) for a, b in zip(sums, found, strict=True)
    ]
