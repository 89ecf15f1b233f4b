"""Texts whose loss is followed along a series of checkpoints."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from losschange.errors import CheckpointError

# Loss of a model in nats per target token.
Loss = Callable[[nn.Module], Tensor]
Source = str | os.PathLike[str] | Sequence[int] | np.ndarray | Tensor | Loss

OBJECTIVES = ("causal", "masked")
# Masking of Devlin et al. (2019): a share of the tokens are targets; most of these are replaced by
# the mask token, some by a random token, and some are left unchanged.
MASKED, HIDDEN, REPLACED = 0.15, 0.8, 0.1
MOST_UNKNOWN = 0.5


@dataclass(frozen=True)
class Text:
    """A text as losses that add up to its mean loss in nats per target token.

    Parameters
    ----------
    name : str
    parts : sequence of callable (model) -> loss
        Each the share of one batch, so that no more than a batch is in memory at a time.
    digest : str
        Of its tokens and their division into batches.
    tokens : int
        Number of target tokens, 0 if unknown.
    """

    name: str
    parts: tuple[Loss, ...]
    digest: str
    tokens: int


def make_text(
    name: str,
    source: Source,
    model: nn.Module,
    tokenizer: Any,
    objective: str,
    context: int,
    batch_tokens: int,
    seed: int,
) -> Text:
    """A text from a file, from token ids, or from a function that computes a loss.

    Parameters
    ----------
    name : str
    source : path, token ids, or callable (model) -> loss
        A file of text, which the tokenizer divides; a file .npy, .pt or .json of token ids; ids as
        a sequence, array or tensor; or a function that gives the mean loss of a fixed text.
    model : torch.nn.Module
        Whose vocabulary the ids must be of.
    tokenizer : object, optional
        Callable (text) -> {"input_ids": ...}, as those of Hugging Face.
    objective : {"causal", "masked"}
        Predict the next token, or hidden ones.
    context : int
        Tokens per sequence; the text is cut into pieces of this length.
    batch_tokens : int
        Tokens per batch.
    seed : int
        Of the hidden words.

    Raises
    ------
    CheckpointError
        If the text is missing, too short, or of another vocabulary.
    """
    if callable(source):
        return Text(name, (source,), "given as a function", 0)
    ids = _token_ids(name, source, tokenizer)
    _check_vocabulary(name, ids, model, tokenizer)
    pieces = [ids[start : start + context] for start in range(0, len(ids), context)]
    pieces = [piece for piece in pieces if len(piece) > 1]
    if not pieces:
        raise CheckpointError(f"the text {name!r} has {len(ids)} tokens; it needs two at least")
    batches = _batches(pieces, max(1, batch_tokens // context))
    generator = np.random.default_rng(seed)
    pairs = []
    for batch in batches:
        rows = torch.from_numpy(np.stack(batch).astype(np.int64))
        if objective == "masked":
            pairs.append(_hide(name, rows, tokenizer, _words_of(model), generator))
        else:
            pairs.append((rows, rows[:, 1:]))
    tokens = int(sum((target >= 0).sum() for _, target in pairs))
    digest = hashlib.sha256(json.dumps([objective, context, batch_tokens, seed]).encode())
    digest.update(ids.astype(np.int64).tobytes())
    parts = tuple(_BatchLoss(rows, target, tokens) for rows, target in pairs)
    return Text(name, parts, digest.hexdigest(), tokens)


class _BatchLoss:
    """Share of a batch in the mean loss of a text."""

    def __init__(self, rows: Tensor, target: Tensor, tokens: int):
        self.rows, self.target, self.tokens = rows, target, tokens

    def __call__(self, model: nn.Module) -> Tensor:
        device = next(model.parameters()).device
        found = model(self.rows.to(device))
        scores = found if isinstance(found, Tensor) else found.logits
        # The last token has no next token that a causal model could be asked for.
        scores = scores[:, : self.target.shape[1]].float()
        target = self.target.to(device).flatten()
        loss = cross_entropy(scores.flatten(0, 1), target, ignore_index=-100, reduction="sum")
        return loss / self.tokens


def _token_ids(name: str, source: Source, tokenizer: Any) -> np.ndarray:
    """Token ids (tokens,) of a source that is no function."""
    if isinstance(source, str | os.PathLike):
        source = _read(name, Path(source), tokenizer)
    ids = source.detach().cpu().numpy() if isinstance(source, Tensor) else np.asarray(source)
    if ids.size == 0 or ids.dtype.kind not in "iu":
        raise CheckpointError(
            f"the text {name!r} holds {ids.size} values of type {ids.dtype}; expected token ids"
        )
    return ids.reshape(-1)


def _read(name: str, path: Path, tokenizer: Any) -> Any:
    try:
        if path.suffix == ".npy":
            return np.load(path)
        if path.suffix == ".pt":
            return torch.load(path, weights_only=True)
        if path.suffix == ".json":
            return np.asarray(json.loads(path.read_text(encoding="utf-8")))
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise CheckpointError(f"the text {name!r}: there is no file {path}") from None
    except Exception as error:  # each format fails in ways of its own
        raise CheckpointError(f"the text {name!r}: {path} cannot be read ({error})") from None
    if tokenizer is None:
        raise CheckpointError(
            f"the text {name!r} is no list of token ids, and there is no tokenizer; give one, or "
            "ids as .npy, .pt or .json"
        )
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def _check_vocabulary(name: str, ids: np.ndarray, model: nn.Module, tokenizer: Any) -> None:
    words = _words_of(model)
    if words is None:
        return
    if tokenizer is not None and len(tokenizer) > words:
        raise CheckpointError(
            f"the tokenizer knows {len(tokenizer)} tokens, but the model has {words}: they are of "
            "different vocabularies; give the tokenizer of the model"
        )
    if ids.min() < 0 or ids.max() >= words:
        wrong = int(ids.max() if ids.max() >= words else ids.min())
        raise CheckpointError(
            f"the text {name!r} is of another vocabulary: it holds token {wrong}, but the model "
            f"has {words} words; make its ids with the tokenizer of the model"
        )
    unknown = getattr(tokenizer, "unk_token_id", None)
    if unknown is not None and np.mean(ids == unknown) > MOST_UNKNOWN:
        raise CheckpointError(
            f"the text {name!r} is of another vocabulary: the tokenizer does not know "
            f"{np.mean(ids == unknown):.0%} of it"
        )


def _words_of(model: nn.Module) -> int | None:
    """Size of the vocabulary: the rows of the largest embedding."""
    found = [m.num_embeddings for m in model.modules() if isinstance(m, nn.Embedding)]
    return max(found, default=None)


def _batches(pieces: Sequence[np.ndarray], rows: int) -> list[list[np.ndarray]]:
    """Pieces of one length, at most `rows` of them; the last of a text may be shorter."""
    batches: list[list[np.ndarray]] = []
    for piece in pieces:
        if not batches or len(batches[-1]) == rows or len(batches[-1][0]) != len(piece):
            batches.append([])
        batches[-1].append(piece)
    return batches


def _hide(
    name: str, rows: Tensor, tokenizer: Any, words: int | None, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Sequences with masked tokens, and the targets: -100 where a token is no target."""
    mask = getattr(tokenizer, "mask_token_id", None)
    if mask is None:
        raise CheckpointError(
            f"the text {name!r} is to be masked, but the tokenizer has no mask token"
        )
    chosen = torch.from_numpy(generator.random(rows.shape) < MASKED)
    chosen[0, 0] |= not chosen.any()
    way = torch.from_numpy(generator.random(rows.shape))
    other = torch.from_numpy(generator.integers(0, words, rows.shape))
    shown = torch.where(chosen & (way < HIDDEN), mask, rows)
    shown = torch.where(chosen & (way >= 1 - REPLACED), other, shown)
    return shown, torch.where(chosen, rows, -100)
