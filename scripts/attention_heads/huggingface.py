"""Model handles of Hugging Face models: GPT-2, BERT, Marian and BART.

    handle = handle_of(model)      # a GPT2LMHeadModel, BertForMaskedLM, MarianMTModel ...
    confidence(handle, batches)    # batches: dictionaries with input_ids, attention_mask, labels

The model must compute its attention weights: attn_implementation="eager". Labels are those that
the model itself takes, -100 where nothing is to be predicted; without them a language model
predicts every next token. Sequences are padded on the right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from .alpha_beta import AttentionBlock, LayerParts
from .errors import HeadsError, HiddenHeadsError
from .handle import Attention, OutProjection, Output, State, Tokens, cross_entropy
from .taps import AttentionModules, frozen_modules, tapped

Batch = Mapping[str, Tensor]
IGNORED = -100


def handle_of(model: PreTrainedModel) -> HuggingFaceHandle:
    """The handle of a model.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        With a language-modelling head.

    Raises
    ------
    HeadsError
        If there is no handle for models of its type.
    HiddenHeadsError
        If its attention is a fused kernel.
    """
    kinds = {"gpt2": GPT2Handle, "bert": BertHandle, "marian": MarianHandle, "bart": MarianHandle}
    kind = kinds.get(model.config.model_type)
    if kind is None or model.get_output_embeddings() is None:
        raise HeadsError(
            f"no handle for {type(model).__name__}; there are handles for GPT2LMHeadModel, "
            "BertForMaskedLM, MarianMTModel and BartForConditionalGeneration"
        )
    used = model.config._attn_implementation
    if used != "eager":
        raise HiddenHeadsError(
            f"{type(model).__name__} uses the attention {used!r}, which shows no weights: call "
            'model.set_attn_implementation("eager") first'
        )
    return kind(model)


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

    def out_projection(self, attention: str, layer: int) -> OutProjection:
        """The out projection of one layer."""
        stage = next(n for n, each in enumerate(self.stages) if each.get(attention) == layer)
        return OutProjection(self._modules(stage, attention).out.weight, self._input_axis)

    _input_axis = 1

    def _layer(self, stage: int) -> nn.Module:
        raise NotImplementedError

    def _modules(self, stage: int, attention: str) -> AttentionModules:
        raise NotImplementedError

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


class GPT2Handle(HuggingFaceHandle):
    """GPT-2: a causal language model."""

    _input_axis = 0

    def __init__(self, model: PreTrainedModel):
        super().__init__(model)
        layers, heads = self.config.n_layer, self.config.n_head
        about = Attention("decoder", layers, heads, "target", "target", causal=True)
        self.attentions = {"decoder": about}
        self.stages = [{"decoder": layer} for layer in range(layers)]

    def tokens(self, batch: Batch) -> dict[str, Tokens]:
        return {"target": self._tokens(batch["input_ids"], batch.get("attention_mask"))}

    def start(self, batch: Batch) -> State:
        ids, decoder = batch["input_ids"], self.module.transformer
        positions = torch.arange(ids.shape[1], device=ids.device)
        tokens = self.tokens(batch)["target"]
        labels = batch.get("labels")
        if labels is None:
            labels = ids.where(tokens.present, IGNORED)
        following = torch.full_like(ids, -1)
        following[:, :-1] = self._targets(labels)[:, 1:]
        x = decoder.drop(decoder.wte(ids) + decoder.wpe(positions))
        return {"target": x, "target_seen": tokens.present, "targets": following}

    def _layer(self, stage: int) -> nn.Module:
        return self.module.transformer.h[stage]

    def _modules(self, stage: int, attention: str) -> AttentionModules:
        block = self.module.transformer.h[stage].attn
        return AttentionModules(block, block.c_proj, [(block.c_attn, block.embed_dim)])

    def _run(self, stage: int, layer: nn.Module, state: State) -> State:
        mask = _mask(state["target_seen"], state["target"], causal=True)
        return {**state, "target": layer(state["target"], None, mask)}

    def _logits(self, state: State) -> Tensor:
        return self.module.lm_head(self.module.transformer.ln_f(state["target"]))


class BertHandle(HuggingFaceHandle):
    """BERT: a masked language model."""

    def __init__(self, model: PreTrainedModel):
        super().__init__(model)
        layers, heads = self.config.num_hidden_layers, self.config.num_attention_heads
        self.attentions = {"encoder": Attention("encoder", layers, heads, "source", "source")}
        self.stages = [{"encoder": layer} for layer in range(layers)]

    def tokens(self, batch: Batch) -> dict[str, Tokens]:
        return {"source": self._tokens(batch["input_ids"], batch.get("attention_mask"))}

    def start(self, batch: Batch) -> State:
        ids = batch["input_ids"]
        seen = self.tokens(batch)["source"].present
        targets = self._targets(batch.get("labels", torch.full_like(ids, IGNORED)))
        x = self.module.bert.embeddings(input_ids=ids, token_type_ids=batch.get("token_type_ids"))
        return {"source": x, "source_seen": seen, "targets": targets}

    def _layer(self, stage: int) -> nn.Module:
        return self.module.bert.encoder.layer[stage]

    def _modules(self, stage: int, attention: str) -> AttentionModules:
        block = self.module.bert.encoder.layer[stage].attention
        projections = [(block.self.query, 0), (block.self.key, 0)]
        return AttentionModules(block.self, block.output.dense, projections)

    def _run(self, stage: int, layer: nn.Module, state: State) -> State:
        mask = _mask(state["source_seen"], state["source"])
        return {**state, "source": layer(state["source"], mask)}

    def _logits(self, state: State) -> Tensor:
        return self.module.cls(state["source"])


class MarianHandle(HuggingFaceHandle):
    """Marian and BART: translation models with a post-norm encoder and decoder."""

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
        if stage < below:
            return self.module.model.encoder.layers[stage]
        return self.module.model.decoder.layers[stage - below]

    def _modules(self, stage: int, attention: str) -> AttentionModules:
        layer: Any = self._layer(stage)
        block = layer.encoder_attn if attention == "cross" else layer.self_attn
        return AttentionModules(block, block.out_proj, [(block.q_proj, 0), (block.k_proj, 0)])

    def _run(self, stage: int, layer: nn.Module, state: State) -> State:
        source, target = state["source"], state["target"]
        if stage < self.config.encoder_layers:
            return {**state, "source": layer(source, _mask(state["source_seen"], source))}
        after = layer(
            target,
            _mask(state["target_seen"], target, causal=True),
            encoder_hidden_states=source,
            encoder_attention_mask=_mask(state["source_seen"], target),
            use_cache=False,
        )
        return {**state, "target": after}

    def _logits(self, state: State) -> Tensor:
        return self.module.lm_head(state["target"]) + self.module.final_logits_bias

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
        return "target", None, self.module.lm_head


def _mask(seen: Tensor, like: Tensor, causal: bool = False) -> Tensor:
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
