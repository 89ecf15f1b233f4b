"""Rare-token heads: those that look at the least frequent token of a sentence.

Voita et al. 2019, section 5.3.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .handle import ModelHandle
from .passes import attention_weights
from .positional import largest_key, text_keys

# Voita et al. 2019: the rarest token of a sentence must lie outside the 500 most frequent ones.
FREQUENT = 500


@dataclass(frozen=True)
class Rare:
    """How often the heads of one attention type look at rare tokens.

    Parameters
    ----------
    rates : array (layers, heads, 2)
        Share of the queries whose largest weight lies at the rarest token that they can see, and
        at one of the two rarest; NaN without such queries.
    baseline : array (2,)
        The same for a key chosen at random.
    queries : int
    reason : str or None
        Why nothing can be said, where nothing can.
    """

    rates: np.ndarray
    baseline: np.ndarray
    queries: int
    reason: str | None = None


def rare(
    handle: ModelHandle,
    batches: Iterable[Any],
    ranks: dict[str, Tensor],
    seed: int,
    frequent: int = FREQUENT,
) -> dict[str, Rare]:
    """How often every head looks at the rarest token, and at one of the two rarest.

    A query counts if the rarest token that it can see is a rare one. Tokens of the same type are
    equally rare: looking at any of them counts.

    Parameters
    ----------
    handle : ModelHandle
    batches : iterable
        As the handle takes them.
    ranks : dict of "source" or "target" to int Tensor (vocabulary,)
        Rank of every token id by frequency in the training text, 0 = most frequent.
    seed : int
        Breaks ties between equal weights.
    frequent : int
        Number of the most frequent types that are not rare.

    Returns
    -------
    dict of attention name to Rare
    """
    generator = torch.Generator().manual_seed(seed)
    hits: dict[str, Tensor] = {}
    chance: dict[str, Tensor] = {}
    numbers: dict[str, int] = {}
    for batch in batches:
        sides = handle.tokens(batch)
        for name, weights in attention_weights(handle, batch).items():
            about = handle.attentions[name]
            queries, keys = sides[about.query], sides[about.key]
            allowed = text_keys(queries, keys, about.causal)
            rank = ranks[about.key].to(keys.ids.device)[keys.ids]
            targets, asked = rare_targets(rank, allowed, frequent)
            looked = [largest_key(layer, allowed, generator) for layer in weights]
            found = torch.stack([_hits(each, targets, asked) for each in looked])
            expected = (targets.sum(-1) / allowed.sum(-1).clamp(min=1)[..., None]).double()
            share = torch.where(asked[..., None], expected, 0.0).sum((0, 1))
            hits[name] = hits.get(name, torch.zeros_like(found)) + found
            chance[name] = chance.get(name, torch.zeros_like(share)) + share
            numbers[name] = numbers.get(name, 0) + int(asked.sum())
    return {
        name: _result(hits[name].cpu().numpy(), chance[name].cpu().numpy(), numbers[name], frequent)
        for name in hits
    }


def rare_targets(ranks: Tensor, allowed: Tensor, frequent: int) -> tuple[Tensor, Tensor]:
    """The rarest keys that each query can see.

    Parameters
    ----------
    ranks : int Tensor (sentences, keys)
    allowed : bool Tensor (sentences, queries, keys)
    frequent : int

    Returns
    -------
    targets : bool Tensor (sentences, queries, 2, keys)
        Keys of the rarest type, and keys of the two rarest types.
    asked : bool Tensor (sentences, queries)
        Queries that see a rare token.
    """
    visible = torch.where(allowed, ranks[:, None], -1)
    first = visible.amax(-1, keepdim=True)
    second = torch.where(visible == first, -1, visible).amax(-1, keepdim=True)
    rarest = (visible == first) & allowed
    targets = torch.stack([rarest, rarest | ((visible == second) & allowed)], dim=2)
    return targets, first.squeeze(-1) >= frequent


def _hits(looked: Tensor, targets: Tensor, asked: Tensor) -> Tensor:
    """Number of queries that look at the rarest key and at the two rarest: (heads, 2)."""
    # looked (sentences, heads, queries) picks a key of targets (sentences, queries, 2, keys).
    where = looked.clamp(min=0).transpose(1, 2)[:, :, None].expand(-1, -1, 2, -1)
    hit = targets.gather(3, where) & asked[:, :, None, None]
    return hit.sum((0, 1)).T


def _result(hits: np.ndarray, chance: np.ndarray, number: int, frequent: int) -> Rare:
    if number:
        return Rare(hits / number, chance / number, number)
    reason = f"no sentence holds a token outside the {frequent} most frequent ones"
    nothing = np.full(hits.shape, np.nan)
    return Rare(nothing, np.full(2, np.nan), 0, reason)
