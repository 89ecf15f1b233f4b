"""A fairseq Transformer that is run layer by layer, as an attention_heads.handle.ModelHandle.

It runs fairseq's own layers, so its numbers are those of the model. Hooks give only what fairseq
does not return: the attention weights of single heads, and the outputs of heads before the out
projection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from attention_heads.alpha_beta import LayerParts
from attention_heads.handle import Attention, OutProjection, Output, State, Tokens
from attention_heads.losses import cross_entropy, linear_losses
from attention_heads.taps import AttentionModules, frozen_modules, tapped
from losschange_fairseq.prefix_lm import hiding_keys, prefix_mask

from .fairseq_stacks import (
    PAD,
    attentions_of,
    embed,
    gated_heads,
    last_states,
    prepare_stack,
    present_tokens,
    stacks_of,
    wrap_activation,
)
from .layer_parts import layer_parts, output_parts

# A sample of fairseq's datasets, with the keys net_input, target and id.
Batch = Mapping[str, Any]
# The module of a fairseq layer that computes each type of attention.
MODULES = {"encoder": "self_attn", "decoder": "self_attn", "cross": "encoder_attn"}


class FairseqHandle:
    """A `transformer_lm`, `roberta` or `transformer` model, layer by layer.

    Batches are fairseq samples. Padding may be on either side of a source, on the right of a
    target. The state holds "source" and "target" (sentences, length, width), each with "..._seen"
    (False at padding), and "targets" (sentences, length), negative where nothing is predicted. For
    a prefix language model it holds "prefix" (sentences,), the number of tokens of each prefix.
    Where the encoder ends with a layer norm, its last stage applies it.

    Parameters
    ----------
    model : fairseq model
        With fairseq's own layers. It is changed in place and switched to evaluation mode: attention
        is made to compute its weights, and activation functions become modules. Parameters and
        their names do not change.

    Attributes
    ----------
    module : nn.Module
    attentions : mapping of str to attention_heads.handle.Attention
    stages : sequence of mapping of attention name to layer
        Encoder layers, then decoder layers.
    stacks : dict of str to nn.Module
        "encoder", "decoder", or both.

    Raises
    ------
    UserError
        If the model is another kind of model or has parts that this class does not run.
    """

    def __init__(self, model: Any):
        self.module: Any = model.eval()
        self.stacks = stacks_of(model)
        for stack in self.stacks.values():
            prepare_stack(stack)
        if "decoder" not in self.stacks:
            wrap_activation(model.encoder.lm_head)
        self.attentions: Mapping[str, Attention] = attentions_of(self.stacks)
        self.stages: Sequence[Mapping[str, int]] = [
            {name: layer for name in self.attentions if (name == "encoder") == (side == "encoder")}
            for side, stack in self.stacks.items()
            for layer in range(len(stack.layers))
        ]
        # The side whose tokens are predicted.
        self.predicted = "target" if "decoder" in self.stacks else "source"

    @property
    def device(self) -> torch.device:
        """Device of the parameters; batches must be on it too."""
        found: torch.device = next(self.module.parameters()).device
        return found

    def tokens(self, batch: Batch) -> dict[str, Tokens]:
        """The tokens that each side of a batch feeds into the model."""
        inputs = batch["net_input"]
        if "encoder" not in self.stacks:
            sides = {"target": inputs["src_tokens"]}
        elif "decoder" not in self.stacks:
            sides = {"source": inputs["src_tokens"]}
        else:
            sides = {"source": inputs["src_tokens"], "target": inputs["prev_output_tokens"]}
        return {side: present_tokens(ids) for side, ids in sides.items()}

    def start(self, batch: Batch, positions: bool = True) -> State:
        """The state before the first stage.

        Parameters
        ----------
        batch : fairseq sample
        positions : bool
            Whether position embeddings are added to the token embeddings.
        """
        state: dict[str, Tensor] = {}
        for side, tokens in self.tokens(batch).items():
            stack = self.stacks["encoder" if side == "source" else "decoder"]
            state[side] = embed(stack, tokens, positions)
            state[f"{side}_seen"] = tokens.present
        if "prefix_lengths" in batch["net_input"]:
            state["prefix"] = torch.tensor(batch["net_input"]["prefix_lengths"], device=self.device)
        state["targets"] = batch["target"].masked_fill(batch["target"] == PAD, -1)
        return state

    def step(
        self,
        stage: int,
        state: State,
        gates: Mapping[str, Tensor] | None = None,
        frozen: bool = False,
        weights: dict[str, Tensor] | None = None,
    ) -> State:
        """Run one layer; see attention_heads.handle.ModelHandle."""
        modules = {name: self._modules(name, at) for name, at in self.stages[stage].items()}
        with (
            tapped(self.layer(stage), modules, None, frozen, None),
            gated_heads(modules, gates or {}, weights),
        ):
            after = self.run_layer(stage, state)
        norm = self.norm_after(stage)
        if norm is None or self.side(stage) == "target":
            return after
        with frozen_modules(norm) if frozen else nullcontext():
            return {**after, "source": norm(after["source"])}

    def step_without_keys(self, stage: int, state: State, hidden: Mapping[str, Tensor]) -> State:
        """Run one layer in which no query attends to some keys.

        For the influence of a word on the others (Voita et al. 2019b, section 6).

        Parameters
        ----------
        stage : int
        state : State
        hidden : mapping of attention name to bool Tensor (sentences, keys)
            True where a key is hidden; the names are those of this stage's attentions.

        Returns
        -------
        State
            Without the norm after the last layer. Outputs at hidden positions of the stage's own
            side are NaN: the state of a word that may not attend to itself is not defined.

        Raises
        ------
        ValueError
            If an attention is not one of this stage, or a cross attention is left without keys.
        """
        unknown = sorted(set(hidden) - set(self.stages[stage]))
        if unknown:
            raise ValueError(
                f"stage {stage} has no attention {', '.join(unknown)}; it has "
                f"{', '.join(self.stages[stage])}"
            )
        side, seen = self.side(stage), {}
        for name, keys in hidden.items():
            key = self.attentions[name].key
            seen[name] = state[f"{key}_seen"] & ~keys
            if name == "cross" and not seen[name].any(-1).all():
                raise ValueError("a sentence has all its source tokens hidden: leave it out")
        after = dict(self.run_layer(stage, state, seen))
        for name, keys in hidden.items():
            if self.attentions[name].key == side:
                after[side] = after[side].masked_fill(keys.unsqueeze(-1), float("nan"))
        return after

    def finish(self, state: State, frozen: bool = False) -> Output:
        """Logits and losses (nats) from the state after the last stage."""
        with frozen_modules(self.module) if frozen else nullcontext():
            return cross_entropy(self._logits(state), state["targets"])

    def finish_losses(self, state: State) -> Tensor:
        """Losses alone; of a decoder without all logits in memory."""
        decoder: Any = self.stacks.get("decoder")
        if decoder is None:
            return self.finish(state).losses
        x, linear = last_states(decoder, state["target"]), decoder.output_projection
        return linear_losses(x, linear.weight, linear.bias, state["targets"])

    def out_projection(self, attention: str, layer: int) -> OutProjection:
        """The out projection of one layer."""
        out: Any = self._modules(attention, layer).out
        return OutProjection(out.weight)

    def head_weights(self, attention: str, layer: int) -> dict[str, Tensor]:
        """The matrices "query", "key", "value" and "out" of one layer, head by head."""
        heads = self.attentions[attention].heads
        block: Any = self._modules(attention, layer).attention
        named = {"query": block.q_proj, "key": block.k_proj, "value": block.v_proj}
        found = {
            name: linear.weight.detach().reshape(heads, -1, linear.weight.shape[1])
            for name, linear in named.items()
        }
        out = self.out_projection(attention, layer)
        return {**found, "out": out.by_head(out.parameter.detach(), heads)}

    def parts(self, stage: int) -> LayerParts:
        """The parts of a stage's layer; see attention_heads.alpha_beta.DecomposedHandle."""
        return layer_parts(
            self.layer(stage), list(self.stages[stage]), self.side(stage), self.norm_after(stage)
        )

    def finish_parts(self) -> tuple[str, nn.LayerNorm | None, nn.Linear]:
        """The side whose states give the logits, the last norm and the output projection.

        Raises
        ------
        UserError
            For a masked language model, whose logits are no linear map of its states.
        """
        return output_parts(self.stacks)

    def side(self, stage: int) -> str:
        """The side whose states a stage changes: "source" or "target"."""
        return "source" if "encoder" in self.stages[stage] else "target"

    def layer(self, stage: int) -> nn.Module:
        """fairseq's module of a stage."""
        name = "encoder" if self.side(stage) == "source" else "decoder"
        found: nn.Module = self.stacks[name].layers[self.stages[stage][name]]
        return found

    def norm_after(self, stage: int) -> nn.LayerNorm | None:
        """The layer norm after a stack, if the stage is the last of a pre-norm stack."""
        name = "encoder" if self.side(stage) == "source" else "decoder"
        stack = self.stacks[name]
        last = self.stages[stage][name] == len(stack.layers) - 1
        found: nn.LayerNorm | None = stack.layer_norm if last else None
        return found

    def run_layer(
        self, stage: int, state: State, seen: Mapping[str, Tensor] | None = None
    ) -> State:
        """Run fairseq's layer of a stage, without the norm after a stack.

        Parameters
        ----------
        stage : int
        state : State
        seen : mapping of attention name to bool Tensor (sentences, keys), optional
            True at keys that queries may attend to; by default all keys that are not padding.
        """
        seen, side = seen or {}, self.side(stage)
        layer: Any = self.layer(stage)
        x = state[side].transpose(0, 1)
        hidden = {
            name: ~seen.get(name, state[f"{self.attentions[name].key}_seen"])
            for name in self.stages[stage]
        }
        if side == "source":
            x = layer(x, encoder_padding_mask=hidden["encoder"])
        else:
            prefix, own, shared = state.get("prefix"), None, None
            if prefix is None:
                shared = self.stacks["decoder"].buffered_future_mask(x)
            else:
                own = prefix_mask(prefix.tolist(), len(x), x.device)
            with hiding_keys([layer.self_attn], own):
                x = layer(
                    x,
                    state["source"].transpose(0, 1) if "cross" in hidden else None,
                    hidden.get("cross"),
                    self_attn_mask=shared,
                    self_attn_padding_mask=hidden["decoder"],
                )[0]
        return {**state, side: x.transpose(0, 1)}

    def _modules(self, attention: str, layer: int) -> AttentionModules:
        stack = self.stacks["encoder" if attention == "encoder" else "decoder"]
        block = getattr(stack.layers[layer], MODULES[attention])
        return AttentionModules(block, block.out_proj, [(block.q_proj, 0), (block.k_proj, 0)])

    def _logits(self, state: State) -> Tensor:
        decoder: Any = self.stacks.get("decoder")
        if decoder is None:
            scores: Tensor = self.module.encoder.lm_head(state["source"])
        else:
            scores = decoder.output_projection(last_states(decoder, state["target"]))
        return scores
