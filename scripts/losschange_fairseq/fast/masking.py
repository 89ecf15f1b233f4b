"""Draw the masks of a sentence once; fairseq draws them again for the target."""

from __future__ import annotations

import numpy as np
import torch
from fairseq.data import MaskTokensDataset
from torch import Tensor


def draw_masks_once(dataset) -> None:
    """Let the source and the target of a masked language model share their random draws.

    The token ids stay identical to fairseq's. The dataset is not changed if it masks whole words
    or spans, or if it replaces no words by random ones, or leaves no words unchanged.

    Parameters
    ----------
    dataset : fairseq.data.SortDataset
        A split of fairseq's masked_lm task; changed in place.
    """
    parts = dataset.dataset.defn
    source, target = parts["net_input.src_tokens"].dataset, parts["target"].dataset
    plain = source.dataset
    spans = plain.mask_multiple_length > 1 or plain.mask_stdev
    mixed = plain.random_token_prob and plain.leave_unmasked_prob
    if plain.mask_whole_words is None and not spans and not plain.skip_masking and mixed:
        source.dataset = _MaskedSource(plain)
        target.dataset = _MaskedTarget(target.dataset, source.dataset)


class _MaskedSource(MaskTokensDataset):
    """Replaces the stock source dataset and has the same attributes."""

    def __init__(self, stock: MaskTokensDataset):
        self.__dict__.update(stock.__dict__)
        self.drawn = None, ()
        # Cumulative probabilities of the words that can replace another word.
        self.shares = self.weights.cumsum()
        self.shares /= self.shares[-1]

    def __getitem__(self, index: int) -> Tensor:
        return self.both(index)[0]

    def both(self, index: int) -> tuple[Tensor, Tensor]:
        """The input ids of a sentence, and its targets: padding where a word is not masked."""
        key = self.seed, self.epoch, index
        if self.drawn[0] != key:
            self.drawn = key, self._draw(key, self.dataset[index].numpy())
        return self.drawn[1]

    def _draw(self, key: tuple[int, int, int], words: np.ndarray) -> tuple[Tensor, Tensor]:
        if (words == self.mask_idx).any():
            raise ValueError(f"sentence {key[2]} holds the id {self.mask_idx}, which is the mask's")
        # Draw in the same order as fairseq, so that the masks are the same.
        random = np.random.default_rng(int(hash(key) % 1e6))
        length = len(words)
        number = int(self.mask_prob * length + random.random())
        chosen = np.zeros(length, bool)
        chosen[random.choice(length, number, replace=False)] = True
        not_masked = self.random_token_prob + self.leave_unmasked_prob
        other = chosen & (random.random(length) < not_masked)
        left = random.random(length) < self.leave_unmasked_prob / not_masked
        replaced = other & ~left
        source = np.where(chosen & ~(other & left), self.mask_idx, words)
        source[replaced] = self.shares.searchsorted(random.random(replaced.sum()), "right")
        target = np.where(chosen, words, self.pad_idx)
        return torch.from_numpy(source), torch.from_numpy(target)


class _MaskedTarget(MaskTokensDataset):
    """Replaces the stock target dataset; uses the masks drawn by the source."""

    def __init__(self, stock: MaskTokensDataset, source: _MaskedSource):
        self.__dict__.update(stock.__dict__)
        self.source = source

    def __getitem__(self, index: int) -> Tensor:
        return self.source.both(index)[1]
