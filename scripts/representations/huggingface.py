"""States of a Hugging Face checkpoint: BERT, OPT, and the encoder of Marian.

Words are those of the table, so that all models have the same: each is split into pieces by itself,
and the mean of its pieces' states is its state. Nothing is downloaded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoModel, AutoTokenizer

from .errors import RepresentationError
from .words import pool_pieces


class _Family(NamedTuple):
    """What differs between the models.

    Attributes
    ----------
    stack : callable (model) -> module
        What reads the text.
    before, after : str
        Names of the tokenizer's special pieces around a sentence; "" for none.
    final_norm : str
        Name of the stack's final norm; "" where each layer ends with its own.
    """

    stack: Callable[[Any], Any]
    before: str
    after: str
    final_norm: str = ""


FAMILIES = {
    "bert": _Family(lambda model: model, "cls_token_id", "sep_token_id"),
    "opt": _Family(lambda model: model.decoder, "bos_token_id", "", "final_layer_norm"),
    "marian": _Family(lambda model: model.get_encoder(), "", "eos_token_id"),
}


class _Pieces(NamedTuple):
    """A sentence as piece ids, and where each word's pieces stand."""

    ids: list[int]
    first: list[int]
    counts: list[int]


def checkpoint_states(
    path: str | os.PathLike[str], words: xr.Dataset, batch: int = 32, device: str = "cpu"
) -> dict[str, NDArray[np.float32]]:
    """States of all words of a table in all layers of a checkpoint.

    Parameters
    ----------
    path : path
        Folder with the model and its tokenizer, as `save_pretrained` writes them.
    words : xr.Dataset
        From representations.words.make_words, with whole sentences.
    batch : int
        Sentences that are run at a time.
    device : str
        Of PyTorch.

    Returns
    -------
    mapping of layer to float32 array (words, dimensions)
        "word" the embedding without positions, "0" with them (in BERT after its norm), "1" … "N",
        and "norm" after OPT's final norm.

    Raises
    ------
    RepresentationError
        If there is no checkpoint at the path, its model is of another family, a sentence is longer
        than the model reads, or the table does not hold whole sentences.
    """
    model, tokenizer, family = _load(Path(path), device)
    sentences = [_pieces(tokenizer, family, sentence) for sentence in _sentences(words)]
    limit = model.config.max_position_embeddings
    for number, sentence in enumerate(sentences):
        if len(sentence.ids) > limit:
            raise RepresentationError(
                f"sentence {number} has {len(sentence.ids)} pieces, {path} reads {limit}; make the "
                "table of words with a limit"
            )
    found: dict[str, list[NDArray[np.float32]]] = {}
    for start in range(0, len(sentences), batch):
        some = sentences[start : start + batch]
        with torch.no_grad():
            layers = _run(model, family, some, device)
        for layer, states in layers.items():
            for row, sentence in zip(states, some, strict=True):
                pooled = pool_pieces(row.cpu().numpy(), sentence.first, sentence.counts)
                found.setdefault(layer, []).append(pooled.astype(np.float32))
    return {layer: np.concatenate(parts) for layer, parts in found.items()}


def _load(path: Path, device: str) -> tuple[Any, Any, _Family]:
    if not (path / "config.json").is_file():
        raise RepresentationError(f"{path} is no checkpoint: it has no config.json")
    model = AutoModel.from_pretrained(path, local_files_only=True).to(device).eval()
    kind = model.config.model_type
    if kind not in FAMILIES:
        raise RepresentationError(
            f"{path} is a model of the family {kind!r}; states are read of {', '.join(FAMILIES)}"
        )
    tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
    return model, tokenizer, FAMILIES[kind]


def _sentences(words: xr.Dataset) -> list[list[str]]:
    """The words of every sentence."""
    numbers, positions = words["sentence"].values, words["position"].values
    starts = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1))
    lengths = np.diff(starts, append=len(numbers))
    expected = np.arange(len(numbers)) - np.repeat(starts, lengths)
    if len(np.unique(numbers)) != len(starts) or (positions != expected).any():
        raise RepresentationError(
            "the table of words does not hold whole sentences in order; states depend on all "
            "words, so pass the whole table and choose rows of the states afterwards"
        )
    types = words["type"].values.tolist()
    return [types[start : start + length] for start, length in zip(starts, lengths, strict=True)]


def _pieces(tokenizer: Any, family: _Family, sentence: Sequence[str]) -> _Pieces:
    ids = [getattr(tokenizer, family.before)] if family.before else []
    first, counts = [], []
    for word in sentence:
        # The space is part of the word where a vocabulary knows spaces, and ignored elsewhere.
        pieces = tokenizer.tokenize(" " + word)
        found = tokenizer.convert_tokens_to_ids(pieces) or [tokenizer.unk_token_id]
        first.append(len(ids))
        counts.append(len(found))
        ids += found
    if family.after:
        ids.append(getattr(tokenizer, family.after))
    return _Pieces(ids, first, counts)


def _run(
    model: Any, family: _Family, sentences: Sequence[_Pieces], device: str
) -> dict[str, Tensor]:
    """States (sentences, pieces, dimensions) of every layer; padding on the right."""
    longest = max(len(sentence.ids) for sentence in sentences)
    ids = torch.zeros(len(sentences), longest, dtype=torch.long, device=device)
    mask = torch.zeros_like(ids)
    for row, sentence in enumerate(sentences):
        ids[row, : len(sentence.ids)] = torch.tensor(sentence.ids)
        mask[row, : len(sentence.ids)] = 1
    stack = family.stack(model)
    embedding = stack.get_input_embeddings()
    words = embedding(ids).float() * getattr(stack, "embed_scale", 1.0)
    normed: list[tuple[Tensor, Tensor]] = []
    hooks = []
    norm = getattr(stack, family.final_norm, None) if family.final_norm else None
    if norm is not None:
        hooks = [
            norm.register_forward_hook(
                lambda module, inputs, output: normed.append((inputs[0], output))
            )
        ]
    try:
        hidden = stack(ids, attention_mask=mask, output_hidden_states=True).hidden_states
    finally:
        for hook in hooks:
            hook.remove()
    layers = dict(zip(map(str, range(len(hidden))), hidden, strict=True))
    if normed:
        # transformers gives the last layer's states after the final norm only.
        layers[str(len(hidden) - 1)], layers["norm"] = normed[0]
    return {"word": words, **{layer: states.float() for layer, states in layers.items()}}
