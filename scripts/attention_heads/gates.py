"""Pruning heads with gates that are trained against a price per head.

Voita et al. 2019, section 6. The loss is the mean cross-entropy plus the price times the expected
number of heads that are not closed. A price of zero is the control arm: the same updates, but
nothing is gained by closing a head.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .errors import HeadsError
from .handle import ModelHandle
from .hard_concrete import (
    draw_gates,
    probability_closed,
    probability_not_closed,
    probability_open,
    typical_gates,
)
from .passes import resume

# Nearly all gates are open at first, as in the model that is pruned.
FIRST_LOG_ALPHA = 2.5
# Above this share of undecided heads a pruning has not converged.
UNDECIDED_SHARE = 0.1


@dataclass(frozen=True)
class Pruning:
    """What the training of the gates ended with.

    Parameters
    ----------
    price : float
        Nats per target token and head.
    log_alpha : dict of attention name to array (layers, heads)
        Only of the attentions that were gated.
    losses : array (updates,)
        Cross-entropy of every update's batch under random gates, nats per target token.
    open_heads : array (updates,)
        Expected number of heads not closed, before every update.
    """

    price: float
    log_alpha: Mapping[str, np.ndarray]
    losses: np.ndarray
    open_heads: np.ndarray

    @property
    def kept(self) -> dict[str, np.ndarray]:
        """Which heads stay: False where P(g = 0) > P(g = 1)."""
        return {
            name: (probability_closed(each) <= probability_open(each)).numpy()
            for name, each in self._tensors()
        }

    @property
    def undecided(self) -> dict[str, np.ndarray]:
        """Heads whose gate without noise is neither 0 nor 1."""
        found = {}
        for name, each in self._tensors():
            gates = typical_gates(each)
            found[name] = ((gates > 0) & (gates < 1)).numpy()
        return found

    @property
    def reason(self) -> str | None:
        """Why the pruning cannot be relied upon, or None."""
        flags = np.concatenate([each.ravel() for each in self.undecided.values()])
        if flags.mean() <= UNDECIDED_SHARE:
            return None
        return (
            f"{int(flags.sum())} of {flags.size} gates are neither open nor closed: "
            "the gates have not converged, train them longer"
        )

    def hard_gates(self, handle: ModelHandle) -> dict[str, Tensor]:
        """Gates of 0 and 1 for measuring the pruned model; attentions without gates stay open."""
        device = next(handle.module.parameters()).device
        return {
            name: torch.as_tensor(each, dtype=torch.float32, device=device)
            for name, each in self.kept.items()
        }

    def _tensors(self) -> list[tuple[str, Tensor]]:
        return [(name, torch.as_tensor(each)) for name, each in self.log_alpha.items()]


def prices(rises: Iterable[np.ndarray], number: int = 5) -> np.ndarray:
    """Prices to prune at, from what single heads are worth.

    Parameters
    ----------
    rises : iterable of array
        Rise of the loss without each head (Ablation.rise), nats per target token.
    number : int

    Returns
    -------
    array (number,)
        Geometric from the median to the largest rise. Where the median head is worth nothing, the
        median of those that are worth something.

    Raises
    ------
    HeadsError
        If no head lowers the loss.
    """
    values = np.concatenate([np.ravel(each) for each in rises])
    useful = values[values > 0]
    if not useful.size:
        raise HeadsError(
            "closing any one head lowers the loss or leaves it as it is: "
            "there is no price at which heads would be worth keeping"
        )
    median = np.median(values)
    return np.geomspace(median if median > 0 else np.median(useful), useful.max(), number)


def train_gates(
    handle: ModelHandle,
    batches: Iterable[Any],
    price: float,
    updates: int,
    seed: int,
    attentions: Sequence[str] | None = None,
    parameters: Iterable[nn.Parameter] = (),
    learning_rate: float = 0.1,
    model_learning_rate: float = 0.0,
) -> Pruning:
    """Train gates, and the model with them. The model's parameters are changed in place.

    Memory: one batch, three times the parameters that go on learning (weights and Adam's two
    moments), and the gradient of one of them, or as many as it has uses. With no such parameters,
    one batch beside the model.

    Parameters
    ----------
    handle : ModelHandle
        In the mode (dropout on or off) that it was given in.
    batches : iterable
        As the handle takes them; begun again when it ends.
    price : float
        Nats per target token for every head that is not closed; 0 is the control arm.
    updates : int
    seed : int
        Draws the gates, one for each head and batch, and dropout.
    attentions : sequence of str, optional
        Attention types to gate; all by default.
    parameters : iterable of nn.Parameter
        The model's parameters that go on learning; encoder-only pruning leaves the decoder's out.
    learning_rate : float
        Of the gates (Adam).
    model_learning_rate : float
        Of `parameters` (Adam).

    Raises
    ------
    HeadsError
        If an attention type is unknown, the price negative, or a loss not finite.
    """
    names = tuple(handle.attentions) if attentions is None else tuple(attentions)
    unknown = set(names) - set(handle.attentions)
    if unknown or not names:
        raise HeadsError(
            f"no such attention: {', '.join(sorted(unknown)) or 'none given'}; "
            f"the model has {', '.join(handle.attentions)}"
        )
    if price < 0 or updates < 1:
        raise HeadsError(f"price {price} and updates {updates}: expected >= 0 and >= 1")
    device = next(handle.module.parameters()).device
    log_alpha = {
        name: torch.full((each.layers, each.heads), FIRST_LOG_ALPHA, device=device)
        for name, each in handle.attentions.items()
        if name in names
    }
    for each in log_alpha.values():
        each.requires_grad_()
    rates = dict.fromkeys(log_alpha.values(), learning_rate)
    rates |= dict.fromkeys((x for x in parameters if x.requires_grad), model_learning_rate)
    with _learning(rates):
        losses, counts = _run_updates(handle, batches, price, updates, seed, log_alpha, list(rates))
    ended = {name: each.detach().cpu().numpy() for name, each in log_alpha.items()}
    return Pruning(price, ended, losses, counts)


@contextmanager
def _learning(rates: Mapping[Tensor, float]) -> Iterator[None]:
    """While the context lasts, Adam moves every tensor as soon as its gradient is complete.

    Each gradient is freed before the next one is computed: the gradients of all weights together
    would be one more model in memory.
    """
    optimizers = {each: _adam(each, rate) for each, rate in rates.items()}

    def move(tensor: Tensor) -> None:
        optimizers[tensor].step()
        tensor.grad = None

    hooks = [
        each.register_post_accumulate_grad_hook(move)  # type: ignore[no-untyped-call]
        for each in rates
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _adam(tensor: Tensor, rate: float) -> torch.optim.Optimizer:
    """Adam of one tensor, its moments in memory before the first pass.

    Made between the tensors of a pass, they would leave gaps in memory that are never filled.
    """
    optimizer = torch.optim.Adam([tensor], lr=rate, fused=True)
    tensor.grad = torch.zeros_like(tensor)
    optimizer.step()  # a gradient of zero moves nothing
    tensor.grad = None
    optimizer.state[tensor]["step"].zero_()
    return optimizer


def _run_updates(
    handle: ModelHandle,
    batches: Iterable[Any],
    price: float,
    updates: int,
    seed: int,
    log_alpha: Mapping[str, Tensor],
    learning: Sequence[Tensor],
) -> tuple[np.ndarray, np.ndarray]:
    """Cross-entropy and expected number of open heads of every update.

    The backward pass moves what is learning, see _learning.
    """
    generator = torch.Generator().manual_seed(seed)
    losses, counts = [], []
    with torch.random.fork_rng(), torch.enable_grad():
        torch.manual_seed(seed)
        for number, batch in enumerate(itertools.islice(_endless(batches), updates), 1):
            gates = {name: draw_gates(each, generator) for name, each in log_alpha.items()}
            output = resume(handle, handle.start(batch), gates=gates)
            targets = output.predicted.sum()
            loss = output.losses.sum() / targets
            if not torch.isfinite(loss):
                raise HeadsError(
                    f"update {number}: the loss is {loss.item()} on {int(targets)} target tokens"
                )
            count = torch.stack([probability_not_closed(x).sum() for x in log_alpha.values()]).sum()
            del output  # the logits would stay in memory during the next forward pass
            whole = loss + price * count
            whole.backward(inputs=learning)  # type: ignore[no-untyped-call]
            losses.append(loss.item())
            counts.append(count.item())
    return np.array(losses), np.array(counts)


def _endless(batches: Iterable[Any]) -> Iterable[Any]:
    while True:
        empty = True
        for batch in batches:
            empty = False
            yield batch
        if empty:
            raise HeadsError("no batches, or an iterator that can be read only once: give a list")
