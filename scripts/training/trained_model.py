"""The handle of a trained model: its weights, batches of text, heads, hidden states and losses.

    handle = TrainedModelHandle(checkpoint, data, snapshot)
    batches = list(handle.sentences("valid", max_tokens=4096))
    confidence(handle, batches)            # any analysis of attention_heads
    layer_states(handle, batches[0])       # states, see layer_states.py

Analyses use only this handle and no module of fairseq.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from fairseq import utils
from fairseq.data import data_utils

from attention_heads.handle import Output
from attention_heads.passes import resume
from common.files import UserError
from text.vocabulary import load_vocabulary

from .fairseq_handle import Batch, FairseqHandle
from .loading import load_model
from .sentence_batches import (
    batches_of,
    is_encoded_with,
    limits_of,
    numbers_of,
    row_maker,
    without_end,
)


class TrainedModelHandle(FairseqHandle):
    """A trained model and the texts in its folder of token ids.

    Parameters
    ----------
    checkpoint : path
        Checkpoint of the finished training; it contains the architecture of the model.
    data : path
        Folder of token ids.
    snapshot : path, optional
        Weights of another update of the same training, in float16 or float32; the model computes
        in float32.
    device : str, optional
        "cpu" or "cuda"; by default a GPU if there is one.

    Attributes
    ----------
    update : int or None
        Update of the snapshot; None for the checkpoint's own weights.
    task, cfg : of fairseq

    Raises
    ------
    UserError
        If the file is no snapshot or one of another model; if layers of the model are unknown.
    """

    def __init__(
        self, checkpoint: Path, data: Path, snapshot: Path | None = None, device: str | None = None
    ):
        model, self.cfg, self.task, self.update = load_model(checkpoint, data, snapshot)
        super().__init__(model.to(device or ("cuda" if torch.cuda.is_available() else "cpu")))
        self._data, self._translates = data, bool(self.task.objective.translates)

    @property
    def positions(self) -> tuple[int, int]:
        """Longest source and longest target in tokens; equal for a language model."""
        limit = self._longest(None)
        return (limit, limit) if isinstance(limit, int) else (int(limit[0]), int(limit[1]))

    def text(self, split: str, max_tokens: int) -> Iterator[Batch]:
        """Batches of a split as in training: blocks for a language model, with masks for an MLM.

        As in training, samples that are longer than a micro-batch are left out.

        Parameters
        ----------
        split : str
        max_tokens : int
            Tokens of a batch, padding included; a longer sample is a batch of its own.

        Raises
        ------
        UserError
            If the folder of token ids does not hold the split.
        """
        dataset = self._dataset(split)
        limit = self._longest(self.cfg.dataset.max_tokens)
        order, _ = dataset.filter_indices_by_size(dataset.ordered_indices(), limit)
        longest = max((int(dataset.num_tokens(number)) for number in order), default=0)
        batches = self.task.get_batch_iterator(
            dataset,
            max_tokens=max(max_tokens, longest),
            max_positions=limit,
            ignore_invalid_inputs=True,
            seed=self.cfg.common.seed,
        ).next_epoch_itr(shuffle=False, set_dataset_epoch=False)
        return (self._moved(sample) for sample in batches if sample)

    def sentences(
        self,
        split: str,
        max_tokens: int,
        positions: int | None = None,
        mask_seed: int | None = None,
        chosen: Iterable[int] | None = None,
    ) -> Iterator[Batch]:
        """Batches of sentences of a split, one sentence per row, in the order of the text.

        The symbols at the beginning and the end are those of training: the input of a causal model
        begins with an end-of-sentence symbol, that of a masked one with <s>.

        Parameters
        ----------
        split : str
        max_tokens : int
            Tokens of a batch, padding included.
        positions : int, optional
            Longer sentences are cut to this number of tokens, and always to the model's limit.
        mask_seed : int, optional
            Seed of the masks of a masked language model, without which nothing is masked and
            nothing is predicted; of the noise of a denoising model, without which it reads the
            sentence itself; of prefixes whose length is drawn. Other objectives draw nothing.
        chosen : iterable of int, optional
            Numbers of sentences, from 0; by default all.

        Raises
        ------
        UserError
            If the folder of token ids has no such split, or the split no such sentence.
        """
        sides = self._sides(split)
        numbers = numbers_of(chosen, len(sides[0]), split)
        encoded = ((number, [without_end(side[number]) for side in sides]) for number in numbers)
        return self._batches(encoded, max_tokens, positions, mask_seed)

    def numbers(self, split: str, most: int | None) -> range:
        """Numbers of the first sentences of a split, at most `most` of them; None = all."""
        return range(len(self._sides(split)[0]))[:most]

    def plain_sentences(
        self,
        vocabulary: Path,
        source: Sequence[str],
        target: Sequence[str] | None = None,
        max_tokens: int = 4096,
        positions: int | None = None,
        mask_seed: int | None = None,
    ) -> Iterator[Batch]:
        """Batches of plain text, one sentence per row.

        Parameters
        ----------
        vocabulary : path
            The SentencePiece model of the token ids.
        source : sequence of str
        target : sequence of str, optional
            Translations. Without them a translation model reads the source and predicts nothing.
        max_tokens, positions, mask_seed
            See `sentences`.

        Raises
        ------
        UserError
            If the vocabulary is not the model's; if there are not as many translations as
            sentences, or translations for a language model.
        """
        processor = load_vocabulary(vocabulary)
        if not is_encoded_with(self.task.source_dictionary, processor):
            raise UserError(
                f"{vocabulary} is another vocabulary than that of the model's token ids in "
                f"{self._data}: give the one that they were encoded with"
            )
        if target is not None and not self._translates:
            raise UserError("a language model reads one text: leave the translations out")
        if target is not None and len(target) != len(source):
            raise UserError(
                f"{len(source)} sentences have {len(target)} translations: there must be one each"
            )
        sides = [source] if target is None else [source, target]
        encoded = (
            (number, [processor.encode(side[number]) for side in sides])
            for number in range(len(source))
        )
        return self._batches(encoded, max_tokens, positions, mask_seed)

    def pieces(self, batch: Batch) -> dict[str, list[list[str]]]:
        """The subword pieces of every sentence, with the symbols of its beginning and end.

        Parameters
        ----------
        batch : fairseq sample
            With padding at the end, as from `sentences`, so that pieces and states have the same
            positions.

        Returns
        -------
        dict of "source" and "target" to list of list of str

        Raises
        ------
        ValueError
            If a sentence has padding at its beginning.
        """
        found = {}
        for side, tokens in self.tokens(batch).items():
            if not tokens.present[:, 0].all():
                raise ValueError("padding stands in front of a sentence: take `sentences`")
            source = side == "source"
            words = self.task.source_dictionary if source else self.task.target_dictionary
            rows = zip(tokens.ids.tolist(), tokens.present.sum(-1).tolist())
            found[side] = [[words[number] for number in row[:length]] for row, length in rows]
        return found

    @torch.no_grad()
    def losses(self, batch: Batch) -> Output:
        """Losses (nats) at the target tokens of a batch, zero elsewhere; and all logits."""
        return resume(self, self.start(batch))

    def mean_loss(self, split: str, max_tokens: int) -> tuple[float, int]:
        """Mean loss of a split as in training (nats per target token), and its target tokens.

        Cross-entropy without label smoothing; a masked <s> counts as a target.

        Raises
        ------
        UserError
            If the split is missing, or training would leave out all of its samples.
        """
        loss, tokens = 0.0, 0
        for output in map(self.losses, self.text(split, max_tokens)):
            loss += float(output.losses.double().sum())
            tokens += int(output.predicted.sum())
        if not tokens:
            raise UserError(
                f"{split}: every sample is longer than the model or max_tokens "
                f"{self.cfg.dataset.max_tokens} of its training allows, so it has no loss"
            )
        return loss / tokens, tokens

    def _sides(self, split: str) -> list[Any]:
        if self._translates:
            pairs = self._dataset(split)
            return [pairs.src, pairs.tgt]
        words = self.task.source_dictionary
        stored = data_utils.load_indexed_dataset(str(self._data / split), words)
        if stored is None:
            raise _no_split(split, self._data)
        return [stored]

    def _longest(self, max_tokens: int | None) -> Any:
        return utils.resolve_max_positions(
            self.task.max_positions(), self.module.max_positions(), max_tokens
        )

    def _dataset(self, split: str) -> Any:
        try:
            self.task.load_dataset(split, combine=False, epoch=1)
        except FileNotFoundError:
            raise _no_split(split, self._data) from None
        return self.task.dataset(split)

    def _moved(self, batch: Batch) -> Batch:
        return dict(utils.move_to_cuda(batch)) if self.device.type == "cuda" else batch

    def _batches(
        self,
        encoded: Iterable[tuple[int, list[list[int]]]],
        max_tokens: int,
        positions: int | None,
        mask_seed: int | None,
    ) -> Iterator[Batch]:
        limits = limits_of(self.positions, positions)
        row = row_maker(self.task, tuple(self.stacks), limits, mask_seed)
        rows = (row(number, ids) for number, ids in encoded)
        return (self._moved(batch) for batch in batches_of(rows, max_tokens))


def _no_split(split: str, data: Path) -> UserError:
    return UserError(f"{data} holds no token ids of a split {split}")
