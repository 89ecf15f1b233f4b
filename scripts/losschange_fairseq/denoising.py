"""Denoising (BART): fairseq's task with reproducible noise and with the ends of sentences kept.

fairseq's `denoising` draws its noise from PyTorch's global generator. Its state differs after a
resume and between the processes that read batches, so the noise cannot be reproduced from the seed.
It also removes the symbol at the end of every sentence; without these symbols its permutation finds
no sentences and permutes nothing. Here the same noise is drawn by NumPy, from seed, epoch and
number of the sample, which is also several times faster.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import numpy as np
import torch
from fairseq import utils
from fairseq.data import (
    AppendTokenDataset,
    DenoisingDataset,
    PrependTokenDataset,
    TokenBlockDataset,
    data_utils,
)
from fairseq.tasks import register_task
from fairseq.tasks.denoising import DenoisingConfig, DenoisingTask

TASK = "seeded_denoising"
# Symbols that begin and end a sample.
SYMBOLS = 2


@dataclass(frozen=True)
class Noise:
    """Text infilling and permuted sentences (Lewis et al. 2020, section 2.2).

    Parameters
    ----------
    share : float
        Share of the tokens that lie in spans; overlapping spans hide fewer.
    span : float
        Mean length of a span (Poisson). One mask replaces a span; an empty span is a mask between
        two tokens.
    permuted : bool
        Whether the sentences change places.
    mask, end : int
        Ids of the mask and of the symbol that ends a sentence.
    """

    share: float
    span: float
    permuted: bool
    mask: int
    end: int

    def __call__(self, tokens: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """The ids (length,) of a sample with noise; its first and last symbol stay."""
        inner = tokens[1:-1]
        if self.permuted:
            ends = np.flatnonzero(inner == self.end) + 1
            sentences = [part for part in np.split(inner, ends) if len(part)]
            inner = np.concatenate([sentences[n] for n in random.permutation(len(sentences))])
        return np.concatenate([tokens[:1], self._infill(inner, random), tokens[-1:]])

    def _infill(self, tokens: np.ndarray, random: np.random.Generator) -> np.ndarray:
        lengths = self._draw_spans(math.ceil(self.share * len(tokens)), random)
        spans = lengths[lengths > 0]
        starts = random.choice(len(tokens), len(spans), replace=False)
        # Of every span its first token becomes the mask; the others are deleted.
        tails = np.zeros(len(tokens) + 1, dtype=int)
        np.add.at(tails, starts + 1, 1)
        np.add.at(tails, np.minimum(starts + spans, len(tokens)), -1)
        source = tokens.copy()
        source[starts] = self.mask
        source = source[tails[:-1].cumsum() == 0]
        empty = len(lengths) - len(spans)
        return np.insert(source, random.integers(len(source) + 1, size=empty), self.mask)

    def _draw_spans(self, number: int, random: np.random.Generator) -> np.ndarray:
        """Lengths of spans that hold `number` tokens together."""
        lengths = random.poisson(self.span, number)
        while lengths.sum() < number:
            lengths = np.concatenate([lengths, random.poisson(self.span, number)])
        sums = lengths.cumsum()
        last = int(np.searchsorted(sums, number))
        lengths[last] -= sums[last] - number
        return lengths[: last + 1]


class SeededDenoisingDataset(DenoisingDataset):
    """Samples whose noise is decided by seed, epoch and number of the sample.

    Parameters
    ----------
    stock : fairseq.data.DenoisingDataset
    noise : Noise
    """

    def __init__(self, stock: DenoisingDataset, noise: Noise):
        self.__dict__.update(stock.__dict__)
        self._noise = noise

    def __getitem__(self, index):
        target = self.dataset[index]
        random = np.random.default_rng([self.seed, self.epoch, int(index)])
        source = torch.from_numpy(self._noise(target.numpy(), random))
        return {"id": index, "source": source, "target": target}


@register_task(TASK, dataclass=DenoisingConfig)
class SeededDenoisingTask(DenoisingTask):
    """fairseq's denoising task on whole sentences, with the noise of `Noise`."""

    def load_dataset(self, split, *arguments, **options):
        """Load a split; see SeededDenoisingDataset."""
        super().load_dataset(split, *arguments, **options)
        self.datasets[split] = SeededDenoisingDataset(self.datasets[split], self.noise)

    @property
    def noise(self) -> Noise:
        """The noise of training."""
        cfg = self.cfg
        end = self.dictionary.eos()
        return Noise(cfg.mask, cfg.poisson_lambda, cfg.permute_sentences > 0, self.mask_idx, end)

    def _load_dataset_split(self, split, epoch, combine):
        # The stock method without the step that removes the ends of sentences.
        paths = utils.split_paths(self.cfg.data)
        path = os.path.join(paths[(epoch - 1) % len(paths)], split)
        sentences = data_utils.load_indexed_dataset(
            path, self.dictionary, self.cfg.dataset_impl, combine=combine
        )
        if sentences is None:
            raise FileNotFoundError(f"Dataset not found: {split} ({path})")
        blocks = TokenBlockDataset(
            sentences,
            sentences.sizes,
            self.cfg.tokens_per_sample - SYMBOLS,
            pad=self.dictionary.pad(),
            eos=self.dictionary.eos(),
            break_mode=self.cfg.sample_break_mode,
            document_sep_len=0,
        )
        begun = PrependTokenDataset(blocks, self.dictionary.bos())
        return AppendTokenDataset(begun, self.dictionary.eos())
