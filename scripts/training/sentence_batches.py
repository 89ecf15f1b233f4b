"""Sentences as fairseq samples, one sentence per row, for every architecture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sentencepiece
import torch
from fairseq.data import MaskTokensDataset
from fairseq.data.data_utils import collate_tokens
from torch import Tensor

from common.files import UserError
from text.vocabulary import SPECIAL_IDS

from .fairseq_handle import Batch

BOS, PAD, EOS = (SPECIAL_IDS[name] for name in ("bos_id", "pad_id", "eos_id"))

# fairseq's names of the settings of a masked language model's masks.
MASK_OPTIONS = (
    "mask_prob", "leave_unmasked_prob", "random_token_prob", "freq_weighted_replacement",
    "mask_multiple_length", "mask_stdev",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One sentence as input of the model.

    Parameters
    ----------
    number : int
        Number of the sentence in its text.
    source : int Tensor (length,)
        src_tokens of fairseq.
    target : int Tensor (target length,)
        The ids to predict; padding where nothing is predicted.
    previous : int Tensor (target length,), optional
        prev_output_tokens of fairseq, for models with two stacks.
    prefix : int, optional
        Tokens of the prefix, for a prefix language model.
    """

    number: int
    source: Tensor
    target: Tensor
    previous: Tensor | None = None
    prefix: int | None = None


def row_maker(
    task: Any, stacks: Sequence[str], limits: tuple[int, int], seed: int | None
) -> Callable[[int, list[list[int]]], Row]:
    """The function that makes a row from a sentence's number and its ids, for a model.

    Parameters
    ----------
    task : fairseq task
    stacks : sequence of str
        "encoder", "decoder", or both.
    limits : (int, int)
        Longest source and target in tokens, from `limits_of`.
    seed : int or None
        Of masks, noise and prefixes; see TrainedModelHandle.sentences.
    """
    if "decoder" not in stacks:
        masks = None if seed is None else MaskSettings(task, seed)
        return lambda number, ids: masked_row(number, ids[0], limits[0], masks)
    if task.objective.translates:
        return lambda number, ids: translation_row(
            number, ids[0], ids[1] if len(ids) > 1 else None, limits
        )
    if "encoder" in stacks:
        return lambda number, ids: denoising_row(number, ids[0], min(limits), task, seed)
    if hasattr(task, "with_prefixes"):
        drawn = task.with_prefixes((), seed)
        return lambda number, ids: prefix_row(number, ids[0], limits[0], drawn.prefix_of)
    return lambda number, ids: causal_row(number, ids[0], limits[0])


def causal_row(number: int, ids: Sequence[int], positions: int) -> Row:
    """A sentence for a causal language model; its input begins with an end-of-sentence symbol.

    Parameters
    ----------
    number : int
    ids : sequence of int
        Without symbols for the beginning and the end.
    positions : int
        Largest number of tokens. A longer sentence is cut, as in training, and then has no
        end-of-sentence symbol.
    """
    words = torch.tensor([*ids, EOS][:positions])
    return Row(number, torch.cat([torch.tensor([EOS]), words[:-1]]), words)


def prefix_row(
    number: int, ids: Sequence[int], positions: int, prefix_of: Callable[[int, int], int]
) -> Row:
    """A sentence for a prefix language model: as for a causal one, without targets in the prefix.

    Parameters
    ----------
    number, ids, positions
        See causal_row.
    prefix_of : callable (number, length) -> int
        Tokens of the prefix.
    """
    row = causal_row(number, ids, positions)
    prefix = prefix_of(number, len(row.source))
    target = row.target.clone()
    target[:prefix] = PAD
    return Row(number, row.source, target, prefix=prefix)


def denoising_row(
    number: int, ids: Sequence[int], positions: int, task: Any, seed: int | None
) -> Row:
    """A sentence for a denoising model: <s>, the tokens, </s>, on both sides.

    Parameters
    ----------
    number, ids, positions
        See causal_row.
    task : losschange_fairseq.denoising.SeededDenoisingTask
    seed : int or None
        Seed of the noise; with None the source is the sentence itself.
    """
    tokens = torch.tensor([BOS, *ids[: positions - 2], EOS])
    source = tokens
    if seed is not None:
        noisy = task.noise(tokens.numpy(), np.random.default_rng([seed, number]))
        source = torch.from_numpy(noisy)[:positions]
    return Row(number, source, tokens, torch.cat([tokens[-1:], tokens[:-1]]))


def masked_row(number: int, ids: Sequence[int], positions: int, masks: MaskSettings | None) -> Row:
    """A sentence for a masked language model: <s>, the tokens, </s>, cut as in `causal_row`.

    Parameters
    ----------
    number, ids, positions
        See causal_row.
    masks : MaskSettings or None
        With None no token is masked, and nothing is predicted.
    """
    tokens = torch.tensor([BOS, *ids, EOS][:positions])
    if masks is None:
        return Row(number, tokens, torch.full_like(tokens, PAD))
    return Row(number, masks.draw(number, tokens, False), masks.draw(number, tokens, True))


def translation_row(
    number: int, source: Sequence[int], target: Sequence[int] | None, positions: tuple[int, int]
) -> Row:
    """A sentence pair for a translation model; each side ends with </s>, even if it is cut.

    Parameters
    ----------
    number : int
    source, target : sequence of int
        Without symbols for the beginning and the end; with None as target, nothing is predicted.
    positions : (int, int)
        Largest number of tokens of each side.
    """
    encoded = torch.tensor([*source[: positions[0] - 1], EOS])
    if target is None:
        return Row(number, encoded, torch.tensor([PAD]), torch.tensor([EOS]))
    predicted = torch.tensor([*target[: positions[1] - 1], EOS])
    return Row(number, encoded, predicted, torch.cat([torch.tensor([EOS]), predicted[:-1]]))


class MaskSettings:
    """Draws the masks of a masked language model from a seed and the number of the sentence.

    Parameters
    ----------
    task : fairseq task
        Gives the shares of masked, random and unchanged tokens.
    seed : int
    """

    def __init__(self, task: Any, seed: int):
        # Read once: reading a setting of fairseq takes longer than masking a sentence.
        self._options = {name: getattr(task.cfg, name) for name in MASK_OPTIONS}
        self._options |= {"pad_idx": PAD, "mask_idx": task.mask_idx, "seed": seed}
        self._words = task.source_dictionary

    def draw(self, number: int, tokens: Tensor, predicted: bool) -> Tensor:
        """The masked tokens; if `predicted`, the targets, with padding at unmasked positions."""
        found: Tensor = MaskTokensDataset(
            {number: tokens}, self._words, return_masked_tokens=predicted, **self._options
        )[number]
        return found


def batches_of(rows: Iterable[Row], max_tokens: int) -> Iterator[Batch]:
    """Batch rows, in order, into samples of at most `max_tokens` tokens, padding included.

    A row that is longer than `max_tokens` is a sample of its own.
    """
    waiting: list[Row] = []
    longest = 0
    for row in rows:
        length = max(longest, len(row.source), len(row.target))
        if waiting and length * (len(waiting) + 1) > max_tokens:
            yield sample_of(waiting)
            waiting, length = [], max(len(row.source), len(row.target))
        waiting.append(row)
        longest = length
    if waiting:
        yield sample_of(waiting)


def sample_of(rows: Sequence[Row]) -> Batch:
    """A fairseq sample of some rows, padded on the right."""
    inputs: dict[str, Any] = {
        "src_tokens": _padded([row.source for row in rows]),
        "src_lengths": torch.tensor([len(row.source) for row in rows]),
    }
    previous = [row.previous for row in rows if row.previous is not None]
    if previous:
        inputs["prev_output_tokens"] = _padded(previous)
    prefixes = [row.prefix for row in rows if row.prefix is not None]
    if prefixes:
        inputs["prefix_lengths"] = prefixes
    target = _padded([row.target for row in rows])
    return {
        "id": torch.tensor([row.number for row in rows]),
        "nsentences": len(rows),
        "ntokens": int((target != PAD).sum()),
        "net_input": inputs,
        "target": target,
    }


def limits_of(model: tuple[int, int], positions: int | None) -> tuple[int, int]:
    """Longest source and target: the model's limits or, if smaller, `positions`.

    Raises
    ------
    UserError
        If the limit leaves no room for a token besides the end-of-sentence symbol.
    """
    if positions is None:
        return model
    if positions < 2:
        raise UserError(f"sentences cut to {positions} tokens hold no text: take 2 or more")
    return min(positions, model[0]), min(positions, model[1])


def numbers_of(chosen: Iterable[int] | None, sentences: int, split: str) -> Sequence[int]:
    """The numbers of the chosen sentences, by default all.

    Raises
    ------
    UserError
        If the split has no sentence with one of these numbers.
    """
    numbers = range(sentences) if chosen is None else list(chosen)
    wrong = [number for number in numbers if not 0 <= number < sentences]
    if wrong:
        raise UserError(f"{split} has sentences 0 to {sentences - 1}, there is no {wrong[0]}")
    return numbers


def without_end(row: Tensor) -> list[int]:
    """The ids of a stored sentence without its end-of-sentence symbol."""
    ids: list[int] = row.tolist()
    return ids[:-1] if ids and ids[-1] == EOS else ids


def is_encoded_with(dictionary: Any, processor: sentencepiece.SentencePieceProcessor) -> bool:
    """Whether a fairseq dictionary and a vocabulary have the same symbols in the same order.

    The dictionary of a masked language model, or of a denoising one, has the mask as well.
    """
    first, size = len(SPECIAL_IDS), processor.get_piece_size()
    pieces = [processor.id_to_piece(number) for number in range(first, size)]
    symbols = dictionary.symbols[first:]
    return symbols in (pieces, [*pieces, "<mask>"])


def _padded(rows: list[Tensor]) -> Tensor:
    found: Tensor = collate_tokens(rows, PAD)
    return found
