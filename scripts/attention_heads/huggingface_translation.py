"""Model handles of Hugging Face's translation models Marian and BART."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from .alpha_beta import AttentionBlock, LayerParts
from .handle import Attention, State, Tokens
from .huggingface_base import Batch, HuggingFaceHandle, additive_mask
from .losses import linear_losses
from .taps import AttentionModules


class MarianHandle(HuggingFaceHandle):
    """Marian and BART: translation models with a post-norm encoder and decoder."""

    _names = {"query": "q_proj", "key": "k_proj", "value": "v_proj"}

    def __init__(self, model: PreTrainedModel):
        super().__init__(model)
        config = self.config
        below, above = config.encoder_layers, config.decoder_layers
        across = config.decoder_attention_heads
        self.attentions = {
            "encoder": Attention(
                "encoder", below, config.encoder_attention_heads, "source", "source"
            ),
            "decoder": Attention("decoder", above, across, "target", "target", causal=True),
            "cross": Attention("cross", above, across, "target", "source"),
        }
        self.stages = [{"encoder": layer} for layer in range(below)]
        self.stages += [{"decoder": layer, "cross": layer} for layer in range(above)]

    def tokens(self, batch: Batch) -> dict[str, Tokens]:
        given = batch.get("decoder_input_ids")
        if given is None:
            given = self.module.prepare_decoder_input_ids_from_labels(batch["labels"])
        present = batch.get("decoder_attention_mask")
        if present is None:
            # The decoder may start with the padding symbol.
            present = (given != self.config.pad_token_id) | (torch.arange(given.shape[1]) == 0).to(
                given.device
            )
        source = self._tokens(batch["input_ids"], batch.get("attention_mask"))
        return {"source": source, "target": self._tokens(given, present)}

    def start(self, batch: Batch) -> State:
        tokens, model = self.tokens(batch), self.module.model
        return {
            "source": self._embed(model.encoder, tokens["source"].ids),
            "target": self._embed(model.decoder, tokens["target"].ids),
            "source_seen": tokens["source"].present,
            "target_seen": tokens["target"].present,
            "targets": self._targets(batch["labels"]),
        }

    def _embed(self, stack: Any, ids: Tensor) -> Tensor:
        x = stack.embed_tokens(ids) * getattr(stack, "embed_scale", 1.0)
        marian = self.config.model_type == "marian"
        x = x + stack.embed_positions(ids.shape if marian else ids)
        # BART alone normalises its embeddings.
        x = getattr(stack, "layernorm_embedding", nn.Identity())(x)
        return nn.functional.dropout(x, stack.dropout, stack.training)

    def _layer(self, stage: int) -> nn.Module:
        below = self.config.encoder_layers
        model = self.module.model
        found: nn.Module = (
            model.encoder.layers[stage] if stage < below else model.decoder.layers[stage - below]
        )
        return found

    def _modules(self, stage: int, attention: str) -> AttentionModules:
        layer: Any = self._layer(stage)
        block = layer.encoder_attn if attention == "cross" else layer.self_attn
        return AttentionModules(block, block.out_proj, [(block.q_proj, 0), (block.k_proj, 0)])

    def _run(self, stage: int, layer: nn.Module, state: State) -> State:
        source, target = state["source"], state["target"]
        if stage < self.config.encoder_layers:
            return {**state, "source": layer(source, additive_mask(state["source_seen"], source))}
        after = layer(
            target,
            additive_mask(state["target_seen"], target, causal=True),
            encoder_hidden_states=source,
            encoder_attention_mask=additive_mask(state["source_seen"], target),
            use_cache=False,
        )
        return {**state, "target": after}

    def _logits(self, state: State) -> Tensor:
        result: Tensor = self.module.lm_head(state["target"]) + self.module.final_logits_bias
        return result

    def finish_losses(self, state: State) -> Tensor:
        weight, bias = self.module.lm_head.weight, self.module.final_logits_bias[0]
        return linear_losses(state["target"], weight, bias, state["targets"])

    def parts(self, stage: int) -> LayerParts:
        """The parts of a stage's layer, for the alpha-beta rule."""
        layer: Any = self._layer(stage)
        own = "encoder" if stage < self.config.encoder_layers else "decoder"
        blocks: Sequence[tuple[str, str | None, Any, Any]] = [
            (own, None, layer.self_attn, layer.self_attn_layer_norm)
        ]
        if own == "decoder":
            cross = ("cross", "source", layer.encoder_attn, layer.encoder_attn_layer_norm)
            blocks = [*blocks, cross]
        return LayerParts(
            stream="source" if own == "encoder" else "target",
            attentions=[
                AttentionBlock(name, block.v_proj, block.out_proj, norm, memory)
                for name, memory, block, norm in blocks
            ],
            first=layer.fc1,
            second=layer.fc2,
            activation=layer.activation_fn,
            norm=layer.final_layer_norm,
            norm_first=False,
        )

    def finish_parts(self) -> tuple[str, nn.LayerNorm | None, nn.Linear]:
        """The stream that the logits come from, the last norm and the output projection."""
        weight, bias = self.module.lm_head.weight, self.module.final_logits_bias[0]
        words, width = weight.shape
        projection = nn.Linear(width, words, device="meta")
        projection.weight, projection.bias = weight, nn.Parameter(bias, requires_grad=False)
        return "target", None, projection
