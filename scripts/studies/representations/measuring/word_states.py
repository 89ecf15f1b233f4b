"""States of the words of a table in a trained model, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr
from torch import Tensor

from representations.checks import Floats, Integers
from representations.errors import RepresentationError
from representations.states import StatesWriter
from representations.words import join_pieces, pool_pieces
from training.fairseq_handle import Batch
from training.layer_states import layer_states
from training.trained_model import TrainedModelHandle


class WordBatch(NamedTuple):
    """A batch of whole sentences of a table of words.

    Attributes
    ----------
    batch : fairseq sample
    start : int
        Row of the table of its first word; the others follow.
    first : int array (words,)
        Place of each word's first piece in the batch's (sentences · length) states.
    pieces : int array (words,)
    """

    batch: Batch
    start: int
    first: Integers
    pieces: Integers

    @property
    def rows(self) -> slice:
        """Rows of the table."""
        return slice(self.start, self.start + len(self.first))

    def pool(self, states: Tensor) -> Floats:
        """States (words, width) from those of the pieces (sentences, length, width)."""
        return pool_pieces(
            states.detach().cpu().numpy().reshape(-1, states.shape[-1]), self.first, self.pieces
        )


def text_side(handle: TrainedModelHandle) -> str:
    """The side of a model that reads the table's language: its encoder, if it has one."""
    return "source" if "encoder" in handle.stacks else "target"


def word_batches(
    handle: TrainedModelHandle,
    vocabulary: Path,
    words: xr.Dataset,
    name: str,
    max_tokens: int,
    mask_seed: int | None = None,
) -> Iterator[WordBatch]:
    """The sentences of a table as batches of a model.

    Parameters
    ----------
    handle : TrainedModelHandle
    vocabulary : path
        Its SentencePiece model.
    words : xr.Dataset
        From measuring.reading.read_words.
    name : str
        The vocabulary's name in the table.
    max_tokens : int
        Tokens of a batch.
    mask_seed : int, optional
        Seed of the masks of a model that reads masked text. Words keep their places.

    Raises
    ------
    RepresentationError
        If the model cuts the sentences into other pieces than the table says.
    """
    numbers = words["sentence"].values
    starts = np.flatnonzero(np.diff(numbers, prepend=-1))
    edges = np.append(starts, len(numbers))
    types = words["type"].values.tolist()
    sentences = [" ".join(types[one:two]) for one, two in zip(edges[:-1], edges[1:], strict=True)]
    table = words.sel(model=name)
    first, pieces = table["first_piece"].values, table["pieces"].values
    side = text_side(handle)
    for batch in handle.plain_sentences(
        vocabulary, sentences, max_tokens=max_tokens, mask_seed=mask_seed
    ):
        length = handle.tokens(batch)[side].ids.shape[1]
        found_first, found_pieces = [], []
        chosen = batch["id"].tolist()
        for place, (number, row) in enumerate(zip(chosen, handle.pieces(batch)[side], strict=True)):
            here = slice(edges[number], edges[number + 1])
            if mask_seed is None:
                _check(join_pieces(row), types[here], pieces[here], name, sentences[number])
            # Symbols before the text: a model's input may begin with one.
            before = int(row[0] in ("<s>", "</s>"))
            found_first.append(place * length + before + first[here])
            found_pieces.append(pieces[here])
        yield WordBatch(
            batch,
            int(edges[chosen[0]]),
            np.concatenate(found_first),
            np.concatenate(found_pieces),
        )


def write_states(
    handle: TrainedModelHandle,
    vocabulary: Path,
    words: xr.Dataset,
    name: str,
    path: Path,
    max_tokens: int,
) -> None:
    """Write the states of all words in all layers, batch by batch; see word_batches.

    The file has the layers of training.layer_states.layer_states on the side that reads the text.
    """
    side = text_side(handle)
    with ExitStack() as stack:
        writer: StatesWriter | None = None
        for some in word_batches(handle, vocabulary, words, name, max_tokens):
            layers = layer_states(handle, some.batch)[side]
            if writer is None:
                width = next(iter(layers.values())).shape[-1]
                writer = stack.enter_context(
                    StatesWriter(path, list(layers), words.sizes["word"], width)
                )
            for layer, states in layers.items():
                writer.write(layer, some.start, some.pool(states))


def _check(sentence, types: list[str], pieces: Integers, name: str, text: str) -> None:
    if sentence.words != tuple(types) or sentence.pieces != tuple(pieces.tolist()):
        raise RepresentationError(
            f"the model of the vocabulary {name} reads the sentence {text!r} as "
            f"{' '.join(sentence.words)!r} in {sum(sentence.pieces)} pieces, the table of words "
            f"has {sum(pieces.tolist())}; make the table again"
        )
