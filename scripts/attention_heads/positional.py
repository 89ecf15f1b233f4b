"""Positional heads: those that look at a fixed distance.

Voita et al. 2019, section 5.1: a head is positional if its largest weight lies at one offset for
at least 90 % of the queries.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .confidence import visible_keys
from .errors import HeadsError
from .handle import ModelHandle, Tokens
from .passes import attention_weights
from .ratios import ratio

OFFSETS = tuple(range(-3, 4))
POSITIONAL_RATE = 0.9


@dataclass(frozen=True)
class Positional:
    """How often the heads of one attention type look at each offset.

    Parameters
    ----------
    rates : array (layers, heads, offsets)
        Share of the queries whose largest weight lies at the offset (key's position - query's),
        among those that have a key there; NaN where there are none. Offsets are OFFSETS.
    queries : array (offsets,)
        Number of queries that have a key there.
    """

    rates: np.ndarray
    queries: np.ndarray

    @property
    def is_positional(self) -> np.ndarray:
        """Which heads look at one offset in at least 90 % of the cases (layers, heads)."""
        return self.best_rate >= POSITIONAL_RATE

    @property
    def best_rate(self) -> np.ndarray:
        """Rate at the best offset (layers, heads); 0 where no offset can be judged."""
        result: np.ndarray = np.nan_to_num(self.rates).max(-1)
        return result

    @property
    def best_offset(self) -> np.ndarray:
        """The best offset of each head (layers, heads)."""
        result: np.ndarray = np.array(OFFSETS)[np.nan_to_num(self.rates, nan=-1.0).argmax(-1)]
        return result


def positional(handle: ModelHandle, batches: Iterable[Any], seed: int) -> dict[str, Positional]:
    """How often every head looks at the offsets -3 to 3.

    Parameters
    ----------
    handle : ModelHandle
    batches : iterable
        As the handle takes them.
    seed : int
        Breaks ties between equal weights.

    Returns
    -------
    dict of attention name to Positional

    Raises
    ------
    HeadsError
        If there is no batch.
    """
    generator = torch.Generator().manual_seed(seed)
    hits: dict[str, Tensor] = {}
    chances: dict[str, Tensor] = {}
    for batch in batches:
        sides = handle.tokens(batch)
        for name, weights in attention_weights(handle, batch).items():
            about = handle.attentions[name]
            queries, keys = sides[about.query], sides[about.key]
            allowed = text_keys(queries, keys, about.causal)
            looked = [largest_key(layer, allowed, generator) for layer in weights]
            counts = [offset_counts(each, allowed) for each in looked]
            found = torch.stack([hit for hit, _ in counts])
            hits[name] = hits.get(name, torch.zeros_like(found)) + found
            chances[name] = chances.get(name, torch.zeros_like(counts[0][1])) + counts[0][1]
    if not hits:
        raise HeadsError("no batches: there is no text to find positional heads on")
    result = {}
    for name, found in hits.items():
        hit, number = found.cpu().numpy().astype(float), chances[name].cpu().numpy()
        rates = ratio(hit, number)
        result[name] = Positional(rates, number)
    return result


def text_keys(queries: Tokens, keys: Tokens, causal: bool) -> Tensor:
    """Pairs of text tokens that can see each other: bool Tensor (sentences, queries, keys)."""
    visible = visible_keys(queries, keys, causal)
    return visible & queries.content[:, :, None] & keys.content[:, None]


def largest_key(weights: Tensor, allowed: Tensor, generator: torch.Generator) -> Tensor:
    """The key that each query looks at most; ties are broken at random.

    Parameters
    ----------
    weights : Tensor (sentences, heads, queries, keys)
    allowed : bool Tensor (sentences, queries, keys)
        Keys that count.
    generator : torch.Generator
        Of the CPU.

    Returns
    -------
    int Tensor (sentences, heads, queries)
        -1 for queries without an allowed key.
    """
    mask = allowed[:, None]
    candidates = weights.masked_fill(~mask, -1.0)
    tied = (candidates == candidates.amax(-1, keepdim=True)) & mask
    order = torch.rand(weights.shape, generator=generator).to(weights.device)
    chosen = torch.where(tied, order, -1.0).argmax(-1)
    return torch.where(mask.any(-1), chosen, -1)


def offset_counts(looked: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """Queries whose largest weight lies at each offset, and queries that have a key there.

    Parameters
    ----------
    looked : int Tensor (sentences, heads, queries)
        From largest_key.
    allowed : bool Tensor (sentences, queries, keys)

    Returns
    -------
    hits : int Tensor (heads, offsets)
    chances : int Tensor (offsets,)
    """
    queries, keys = allowed.shape[1:]
    positions = torch.arange(queries, device=allowed.device)
    hits, chances = [], []
    for offset in OFFSETS:
        aim = positions + offset
        inside = (aim >= 0) & (aim < keys)
        exists = allowed[:, positions, aim.clamp(0, keys - 1)] & inside
        hits.append(((looked == aim) & exists[:, None]).sum((0, 2)))
        chances.append(exists.sum())
    return torch.stack(hits, -1), torch.stack(chances)
