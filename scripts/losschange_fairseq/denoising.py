"""Denoising (BART): fairseq's task with noise that can be repeated and sentences that keep ends.

fairseq's `denoising` draws its noise from PyTorch's global generator, whose state differs after a
resume and between processes that read batches: the noise is neither that of the seed nor the same
twice. It also strips the symbol at the end of every sentence, by which its permutation of
sentences recognises them, so that nothing is permuted. Both are set right here.
"""

from __future__ import annotations

import os

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


class SeededDenoisingDataset(DenoisingDataset):
    """The stock dataset; seed, epoch and number of a sample decide its noise.

    Parameters
    ----------
    stock : fairseq.data.DenoisingDataset
    """

    def __init__(self, stock: DenoisingDataset):
        self.__dict__.update(stock.__dict__)

    def __getitem__(self, index):
        key = np.random.SeedSequence([self.seed, self.epoch, int(index)])
        # Training draws its dropout from the same generator: leave it as it was.
        with torch.random.fork_rng(devices=[]):
            # torch.manual_seed would also set the generators of GPUs.
            torch.default_generator.manual_seed(int(key.generate_state(1, np.uint64)[0] >> 1))
            return super().__getitem__(index)


class SeededDenoisingTask(DenoisingTask):
    """fairseq's denoising task on whole sentences, with noise bound to the sample."""

    def load_dataset(self, split, *arguments, **options):
        """Load a split; see SeededDenoisingDataset."""
        super().load_dataset(split, *arguments, **options)
        self.datasets[split] = SeededDenoisingDataset(self.datasets[split])

    def noisy(self, tokens: torch.Tensor, number: int, seed: int) -> torch.Tensor:
        """A sample (length,) from <s> to </s> with the noise that training would add to it."""
        cfg = self.cfg
        stock = DenoisingDataset(
            {number: tokens},
            None,
            self.dictionary,
            self.mask_idx,
            None,
            shuffle=False,
            seed=seed,
            mask=cfg.mask,
            mask_random=cfg.mask_random,
            insert=cfg.insert,
            rotate=cfg.rotate,
            permute_sentences=cfg.permute_sentences,
            bpe=cfg.bpe,
            replace_length=cfg.replace_length,
            mask_length=cfg.mask_length,
            poisson_lambda=cfg.poisson_lambda,
        )
        return SeededDenoisingDataset(stock)[number]["source"]

    def _load_dataset_split(self, split, epoch, combine):
        # The stock method without the step that strips the ends of sentences, and refusing a
        # missing split in the same way.
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


def register() -> None:
    """Register the task with fairseq."""
    register_task(TASK, dataclass=DenoisingConfig)(SeededDenoisingTask)
