"""Confidence of a head: how much of its attention goes to the key that it looks at most.

Voita et al. 2019, section 4: the mean over queries of the largest attention weight.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .errors import HeadsError
from .handle import Attention, ModelHandle, Tokens
from .passes import attention_weights

# The first queries of a causal model see so few keys that their largest weight must be large.
CAUSAL_QUERIES_LEFT_OUT = 4


@dataclass(frozen=True)
class Confidence:
    """Confidence of every head of one attention type.

    Parameters
    ----------
    by_sentence : array (sentences, layers, heads)
        Mean over the sentence's queries of the largest weight; NaN where it has no query.
    adjusted_by_sentence : array (sentences, layers, heads)
        The same of (largest - 1/m) / (1 - 1/m), m being the number of keys that the query can
        see: 0 for uniform attention, 1 for attention to one key.
    queries : array (sentences,)
        Number of queries that the means run over.
    """

    by_sentence: np.ndarray
    adjusted_by_sentence: np.ndarray
    queries: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Mean over all queries (layers, heads); NaN without queries."""
        return _weighted(self.by_sentence, self.queries)

    @property
    def adjusted(self) -> np.ndarray:
        """Mean over all queries of the adjusted confidence (layers, heads)."""
        return _weighted(self.adjusted_by_sentence, self.queries)


def confidence(handle: ModelHandle, batches: Iterable[Any]) -> dict[str, Confidence]:
    """Confidence of every head.

    Symbols for the beginning and end of a sentence and padding count neither as queries nor as
    keys; the weights of the other keys are not renormalised.

    Parameters
    ----------
    handle : ModelHandle
    batches : iterable
        As the handle takes them.

    Returns
    -------
    dict of attention name to Confidence

    Raises
    ------
    HeadsError
        If there is no batch.
    """
    found: dict[str, list[tuple[Tensor, Tensor, Tensor]]] = {}
    for batch in batches:
        sides = handle.tokens(batch)
        for name, weights in attention_weights(handle, batch).items():
            about = handle.attentions[name]
            queries, keys = sides[about.query], sides[about.key]
            each = [head_confidence(layer, queries, keys, about) for layer in weights]
            values, adjusted, numbers = (list(column) for column in zip(*each))
            triple = (torch.stack(values, 1), torch.stack(adjusted, 1), numbers[0])
            found.setdefault(name, []).append(triple)
    if not found:
        raise HeadsError("no batches: there is no text to measure confidence on")
    return {
        name: Confidence(*(torch.cat(column).double().cpu().numpy() for column in zip(*parts)))
        for name, parts in found.items()
    }


def head_confidence(
    weights: Tensor, queries: Tokens, keys: Tokens, about: Attention
) -> tuple[Tensor, Tensor, Tensor]:
    """Confidence of the heads of one layer, sentence by sentence.

    Parameters
    ----------
    weights : Tensor (sentences, heads, queries, keys)
    queries, keys : Tokens
    about : Attention

    Returns
    -------
    confidence, adjusted confidence : Tensor (sentences, heads)
    queries : int Tensor (sentences,)
    """
    visible = visible_keys(queries, keys, about.causal)
    largest = weights.masked_fill(~keys.content[:, None, None], 0.0).amax(-1)
    number = visible.sum(-1)
    asked = queries.content & (number > 1)
    if about.causal:
        positions = queries.present.cumsum(-1)
        asked = asked & (positions > CAUSAL_QUERIES_LEFT_OUT)
    floor = (1.0 / number.clamp(min=2))[:, None]
    adjusted = (largest - floor) / (1 - floor)
    total = asked.sum(-1)
    mask = asked[:, None]

    def mean(values: Tensor) -> Tensor:
        return torch.where(mask, values, 0.0).sum(-1) / total[:, None]

    return mean(largest), mean(adjusted), total


def visible_keys(queries: Tokens, keys: Tokens, causal: bool) -> Tensor:
    """Which keys each query can see: bool Tensor (sentences, queries, keys)."""
    visible = keys.present[:, None] & queries.present[:, :, None]
    if causal:
        visible = visible & torch.ones_like(visible[0]).tril()
    return visible


def _weighted(values: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    known = numbers > 0
    if not known.any():
        return np.full(values.shape[1:], np.nan)
    return np.average(values[known], axis=0, weights=numbers[known])
