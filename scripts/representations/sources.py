"""States of any origin, layer by layer: arrays, a states file, a Hugging Face checkpoint."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import xarray as xr
from numpy.typing import ArrayLike

from .checks import Floats, as_states
from .errors import RepresentationError
from .states import StatesReader

Source = str | os.PathLike[str] | Mapping[str, ArrayLike]


def layers_of(source: Source, words: xr.Dataset) -> Iterator[tuple[str, Floats]]:
    """Names and states (words, dimensions) of the layers, one layer in memory at a time.

    Parameters
    ----------
    source : mapping of layer to array, path of a states file, or path of a checkpoint's folder
        A checkpoint is read by representations.huggingface, which needs torch and transformers;
        it keeps its states in memory.
    words : xr.Dataset
        From representations.words.make_words: one row of the states per word.

    Raises
    ------
    RepresentationError
        If there is nothing at the path, no layer, or not one state per word.
    """
    found: Iterator[tuple[str, ArrayLike]]
    if isinstance(source, Mapping):
        found = iter(source.items())
        name = "the states"
    else:
        name = str(source)
        if Path(source).is_dir():
            # Imported here: everything else does without PyTorch.
            from .huggingface import checkpoint_states

            found = iter(checkpoint_states(source, words).items())
        else:
            found = _from_file(source)
    empty = True
    for layer, states in found:
        empty = False
        array = as_states(states, f"layer {layer} of {name}")
        if len(array) != words.sizes["word"]:
            raise RepresentationError(
                f"layer {layer} of {name} has states of {len(array)} words, the table "
                f"{words.sizes['word']}"
            )
        yield str(layer), array
    if empty:
        raise RepresentationError(f"{name} have no layers")


def _from_file(path: str | os.PathLike[str]) -> Iterator[tuple[str, ArrayLike]]:
    with StatesReader(path) as reader:
        for layer in reader.layers:
            yield layer, reader.layer(layer)
