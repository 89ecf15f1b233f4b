"""Prefix language model: a task and a model that fairseq does not have.

The first tokens of a sample, its prefix, attend to each other in both directions; every later token
attends to the prefix and to the tokens before it. The loss is that of the tokens after the prefix.
With an empty prefix this is fairseq's causal language model.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Optional

import numpy as np
import torch
from fairseq.data import BaseWrapperDataset
from fairseq.models import register_model
from fairseq.models.transformer import TransformerDecoder
from fairseq.models.transformer_lm import (
    TransformerLanguageModel,
    TransformerLanguageModelConfig,
)
from fairseq.tasks import register_task
from fairseq.tasks.language_modeling import LanguageModelingConfig, LanguageModelingTask
from torch import Tensor

TASK = "prefix_language_modeling"
MODEL = "prefix_lm"


class PrefixDataset(BaseWrapperDataset):
    """Samples of a causal language model, each with the length of its prefix.

    Parameters
    ----------
    dataset : fairseq.data.MonolingualDataset
    share : float or None
        Share of a sample that is its prefix. With None the length is drawn uniformly, from an empty
        prefix to all tokens but one; seed, epoch and number of the sample decide it.
    seed : int
    padding : int
        Target of the positions in the prefix; fairseq's criterions ignore it.
    """

    def __init__(self, dataset, share: float | None, seed: int, padding: int):
        super().__init__(dataset)
        self._share, self._seed, self._padding = share, seed, padding
        self._epoch = 1

    def prefix_of(self, index: int, length: int) -> int:
        """Tokens in the prefix of the sample `index`, which has `length` tokens."""
        if self._share is not None:
            return int(self._share * length)
        return int(np.random.default_rng([self._seed, self._epoch, index]).integers(length))

    def __getitem__(self, index):
        item = self.dataset[index]
        prefix = self.prefix_of(int(index), len(item["source"]))
        target = item["target"].clone()
        target[:prefix] = self._padding
        return {**item, "target": target, "prefix": prefix}

    def collater(self, samples):
        batch = self.dataset.collater(samples)
        if batch:
            # A list stays on the host, so that comparing the lengths does not wait for a GPU.
            lengths = [sample["prefix"] for sample in samples]
            batch["net_input"]["prefix_lengths"] = lengths
            batch["ntokens"] -= sum(lengths)
        return batch

    def set_epoch(self, epoch):
        super().set_epoch(epoch)
        self._epoch = epoch


@dataclass
class PrefixLanguageModelingConfig(LanguageModelingConfig):
    """Options of the task."""

    # fairseq parses the annotation itself and does not support the form `float | None`.
    prefix_share: Optional[float] = field(  # noqa: UP045
        default=None, metadata={"help": "share of a sample that is its prefix; drawn without it"}
    )


@register_task(TASK, dataclass=PrefixLanguageModelingConfig)
class PrefixLanguageModelingTask(LanguageModelingTask):
    """fairseq's language modelling with a prefix in every sample."""

    def __init__(self, args, *arguments, **options):
        super().__init__(args, *arguments, **options)
        # fairseq's older tasks leave this empty. Without it fairseq would reuse its data loader,
        # whose processes would repeat the prefixes of the first epoch.
        self.cfg = args

    def load_dataset(self, split, *arguments, **options):
        """Load a split; see PrefixDataset."""
        super().load_dataset(split, *arguments, **options)
        self.datasets[split] = self.with_prefixes(self.datasets[split])

    def with_prefixes(self, dataset, seed: int | None = None) -> PrefixDataset:
        """The dataset with a prefix in every sample; the seed is by default that of training."""
        chosen = self.args.seed if seed is None else seed
        return PrefixDataset(dataset, self.args.prefix_share, chosen, self.dictionary.pad())


class SeesPrefix:
    """Mixin of a decoder: `forward` takes the lengths of the prefixes of a batch.

    Without them the decoder is causal.
    """

    sees_prefix = True
    # bool Tensor (1 or sentences, 1, length, length) in a forward pass with prefixes
    seen_keys: Tensor | None = None

    def forward(self, prev_output_tokens, *arguments, prefix_lengths=None, **options):
        """The stock decoder's output; `prefix_lengths` is a sequence of int (sentences,)."""
        if prefix_lengths is not None:
            size = prev_output_tokens.shape[1]
            self.seen_keys = prefix_mask(prefix_lengths, size, prev_output_tokens.device)
        try:
            return super().forward(prev_output_tokens, *arguments, **options)
        finally:
            self.seen_keys = None

    def buffered_future_mask(self, tensor):
        """Additive mask (length, length) of all sentences; None if each has its own."""
        if self.seen_keys is None:
            return super().buffered_future_mask(tensor)
        if len(self.seen_keys) > 1:
            return None  # see hiding_keys
        return additive_mask(self.seen_keys, 1)[0].to(tensor)


class PrefixDecoder(SeesPrefix, TransformerDecoder):
    """fairseq's decoder with prefixes; takes over the parameters and modules of a stock decoder."""

    def __init__(self, stock: TransformerDecoder):
        self.__dict__.update(stock.__dict__)

    def extract_features_scriptable(self, *arguments, **options):
        """The stock decoder's features (batch, length, width)."""
        own = self.seen_keys if self.seen_keys is not None and len(self.seen_keys) > 1 else None
        with hiding_keys([layer.self_attn for layer in self.layers], own):
            return super().extract_features_scriptable(*arguments, **options)


@register_model(MODEL, dataclass=TransformerLanguageModelConfig)
class PrefixLanguageModel(TransformerLanguageModel):
    """fairseq's `transformer_lm`, with the same parameters, whose decoder sees prefixes."""

    @classmethod
    def build_model(cls, args, task):
        """Build the stock model and replace its decoder."""
        return cls(PrefixDecoder(super().build_model(args, task).decoder))


def prefix_mask(lengths: Sequence[int], size: int, device: torch.device) -> Tensor:
    """Which keys a query may attend to.

    Parameters
    ----------
    lengths : sequence of int (sentences,)
        Tokens in the prefix of every sentence.
    size : int
        Length of the sentences, padding at their end included.
    device : torch.device

    Returns
    -------
    bool Tensor (1 or sentences, 1, size, size)
        One mask for all sentences if all prefixes have the same length.
    """
    if len(set(lengths)) == 1:
        return _shared_mask(lengths[0], size, device)
    return torch.cat([_mask(length, size) for length in lengths]).to(device)


def additive_mask(seen: Tensor, heads: int) -> Tensor:
    """The mask as fairseq's attention adds it to scores: 0, or minus infinity at hidden keys.

    Parameters
    ----------
    seen : bool Tensor (1 or sentences, 1, length, length)
    heads : int

    Returns
    -------
    Tensor (1 or sentences x heads, length, length)
    """
    mask = torch.zeros(seen.shape, device=seen.device).masked_fill(~seen, float("-inf"))
    return mask[0] if len(mask) == 1 else mask.repeat_interleave(heads, dim=1).flatten(0, 1)


@contextmanager
def hiding_keys(attentions: Sequence[Any], seen: Tensor | None) -> Iterator[None]:
    """Within the context, fairseq's attention hides other keys for every sentence.

    fairseq's layers take one mask for all sentences. Masks of single sentences are added to the
    scores in the method `apply_sparse_mask`, which only fairseq's own attention code calls;
    therefore `skip_embed_dim_check` makes fairseq use this code instead of PyTorch's function.

    Parameters
    ----------
    attentions : sequence of fairseq.modules.MultiheadAttention
    seen : bool Tensor (1 or sentences, 1, length, length) or None
        True at keys that a query may attend to; with None nothing is changed.
    """
    if seen is None:
        yield
        return
    mask = additive_mask(seen, attentions[0].num_heads)
    before = [attention.skip_embed_dim_check for attention in attentions]
    for attention in attentions:
        attention.skip_embed_dim_check = True
        attention.apply_sparse_mask = lambda scores, *sizes: scores + mask.to(scores)
    try:
        yield
    finally:
        for attention, skipped in zip(attentions, before, strict=True):
            attention.skip_embed_dim_check = skipped
            del attention.apply_sparse_mask


@lru_cache(maxsize=64)
def _shared_mask(length: int, size: int, device: torch.device) -> Tensor:
    return _mask(length, size).to(device)


def _mask(length: int, size: int) -> Tensor:
    seen = torch.ones(size, size, dtype=torch.bool).tril()
    seen[:, :length] = True
    return seen[None, None]
