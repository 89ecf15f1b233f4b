"""What the handles of Hugging Face models share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from .handle import Attention, OutProjection, Output, State, Tokens
from .losses import cross_entropy
from .taps import AttentionModules, frozen_modules, tapped

Batch = Mapping[str, Tensor]
IGNORED = -100


class HuggingFaceHandle:
    """What the handles of this module share; see attention_heads.handle.ModelHandle.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    """

    attentions: dict[str, Attention]
    stages: list[dict[str, int]]

    def __init__(self, model: PreTrainedModel):
        self.module: Any = model
        self.config = model.config
        self.special = {
            number
            for name in ("bos", "eos", "pad", "cls", "sep", "decoder_start")
            for number in [getattr(self.config, f"{name}_token_id", None)]
            if number is not None
        }

    def tokens(self, batch: Batch) -> dict[str, Tokens]:
        """The tokens of a batch."""
        raise NotImplementedError

    def start(self, batch: Batch) -> State:
        """The state in front of the first stage."""
        raise NotImplementedError

    def step(
        self,
        stage: int,
        state: State,
        gates: Mapping[str, Tensor] | None = None,
        frozen: bool = False,
        weights: dict[str, Tensor] | None = None,
    ) -> State:
        """Run one layer."""
        layer = self._layer(stage)
        modules = {name: self._modules(stage, name) for name in self.stages[stage]}
        with tapped(layer, modules, gates, frozen, weights):
            return self._run(stage, layer, state)

    def finish(self, state: State, frozen: bool = False) -> Output:
        """Logits and losses."""
        if not frozen:
            return cross_entropy(self._logits(state), state["targets"])
        # Layers do not run any more: only what stands behind them is frozen here.
        with frozen_modules(self.module):
            return cross_entropy(self._logits(state), state["targets"])

    def finish_losses(self, state: State) -> Tensor:
        """Losses alone."""
        return self.finish(state).losses

    def out_projection(self, attention: str, layer: int) -> OutProjection:
        """The out projection of one layer."""
        out: Any = self._modules_of(attention, layer).out
        return OutProjection(out.weight, self._input_axis)

    def head_weights(self, attention: str, layer: int) -> dict[str, Tensor]:
        """The matrices of one layer, head by head."""
        heads = self.attentions[attention].heads
        found = {
            name: matrix.detach().reshape(heads, -1, matrix.shape[1])
            for name, matrix in self._matrices(self._modules_of(attention, layer)).items()
        }
        out = self.out_projection(attention, layer)
        return {**found, "out": out.by_head(out.parameter.detach(), heads)}

    _input_axis = 1

    def _layer(self, stage: int) -> nn.Module:
        raise NotImplementedError

    def _modules(self, stage: int, attention: str) -> AttentionModules:
        raise NotImplementedError

    def _modules_of(self, attention: str, layer: int) -> AttentionModules:
        stage = next(n for n, each in enumerate(self.stages) if each.get(attention) == layer)
        return self._modules(stage, attention)

    def _matrices(self, modules: AttentionModules) -> dict[str, Tensor]:
        """Query, key and value matrices (width, width), rows cut by head."""
        block: Any = modules.attention
        return {name: getattr(block, self._names[name]).weight for name in self._names}

    _names: Mapping[str, str] = {"query": "query", "key": "key", "value": "value"}

    def _run(self, stage: int, layer: nn.Module, state: State) -> State:
        raise NotImplementedError

    def _logits(self, state: State) -> Tensor:
        raise NotImplementedError

    def _tokens(self, ids: Tensor, present: Tensor | None) -> Tokens:
        seen = torch.ones_like(ids, dtype=torch.bool) if present is None else present.bool()
        special = torch.tensor(sorted(self.special), device=ids.device, dtype=ids.dtype)
        return Tokens(ids, seen, seen & ~torch.isin(ids, special))

    def _targets(self, labels: Tensor) -> Tensor:
        return labels.where(labels != IGNORED, -1)


def additive_mask(seen: Tensor, like: Tensor, causal: bool = False) -> Tensor:
    """What is added to attention scores (sentences, 1, queries or 1, keys)."""
    allowed = seen[:, None, None]
    if causal:
        length = seen.shape[1]
        order = torch.ones(length, length, dtype=torch.bool, device=seen.device).tril()
        allowed = allowed & order
    lowest = torch.finfo(like.dtype).min
    return torch.zeros(allowed.shape, dtype=like.dtype, device=like.device).masked_fill(
        ~allowed, lowest
    )
