"""The text that the heads of a trained model are measured on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from attention_heads.description import Texts
from attention_heads.functions import GoldSentences
from text.vocabulary import load_vocabulary

from .trained_model import TrainedModelHandle

# Number of lines of the training text in which tokens are counted.
COUNTED_LINES = 100_000
CHUNK = 10_000


class Repeated:
    """An iterable that makes its batches anew for every iteration, so that none stay in memory.

    Parameters
    ----------
    make : callable (round) -> iterable of batches
        `round` is the number of the iteration, from 0.
    """

    def __init__(self, make: Callable[[int], Iterable[Any]]):
        self._make, self._rounds = make, 0

    def __iter__(self) -> Iterator[Any]:
        self._rounds += 1
        return iter(self._make(self._rounds - 1))


def validation_texts(
    handle: TrainedModelHandle,
    settings: Mapping[str, Any],
    positions: int,
    seed: int,
    ranks: dict[str, torch.Tensor],
    groups: int,
    gold: Sequence[GoldSentences] = (),
) -> Texts:
    """The first sentences of the validation text, with and without masks.

    Parameters
    ----------
    handle : TrainedModelHandle
    settings : mapping
        Fields of the study's settings: sentences, max_tokens, frequent.
    positions : int
        Longer sentences are cut to this number of tokens.
    seed : int
        Of the masks.
    ranks : dict of side to Tensor
        See frequency_ranks.
    groups : int
        Number of groups of sentences; what heads attend to is resampled by groups.
    gold : sequence of GoldSentences
    """
    number = len(handle.numbers("valid", settings["sentences"]))
    groups = min(groups, number)

    def read(chosen: Iterable[int], mask_seed: int | None = None) -> list[Any]:
        return list(handle.sentences("valid", settings["max_tokens"], positions, mask_seed, chosen))

    order = [each for group in range(groups) for each in range(group, number, groups)]
    return Texts(
        predicted=read(order, seed),
        read=[read(range(group, number, groups)) for group in range(groups)],
        ranks=ranks,
        frequent=settings["frequent"],
        gold=gold,
    )


def training_batches(
    handle: TrainedModelHandle, max_tokens: int, positions: int, seed: int, sentences: int
) -> Repeated:
    """Random sentences of the training text, with other masks in every iteration.

    Parameters
    ----------
    handle : TrainedModelHandle
    max_tokens, positions
        See TrainedModelHandle.sentences.
    seed : int
        Draws the sentences and the masks.
    sentences : int
        Number of different sentences; all if there are not as many.
    """
    total = len(handle.numbers("train", None))
    chosen = np.random.default_rng(seed).permutation(total)[:sentences].tolist()
    return Repeated(
        lambda turn: handle.sentences("train", max_tokens, positions, seed + turn, chosen)
    )


def frequency_ranks(vocabulary: Path, texts: Mapping[str, Path]) -> dict[str, torch.Tensor]:
    """Rank of every token id by its frequency in the training text, 0 = most frequent.

    Parameters
    ----------
    vocabulary : path
        SentencePiece model, whose piece numbers are the token ids.
    texts : mapping of "source" or "target" to path
    """
    processor = load_vocabulary(vocabulary)
    found = {}
    for side, path in texts.items():
        # The id after those of all pieces is the mask of a masked language model.
        counts = np.zeros(processor.get_piece_size() + 1, dtype=np.int64)
        with open(path, encoding="utf-8", newline="\n") as file:
            lines = islice((line.rstrip("\n") for line in file), COUNTED_LINES)
            while chunk := list(islice(lines, CHUNK)):
                for ids in processor.encode(chunk):
                    np.add.at(counts, ids, 1)
        ranks = np.empty(len(counts), dtype=np.int64)
        ranks[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
        found[side] = torch.from_numpy(ranks)
    return found
