"""Model handles of Hugging Face models: GPT-2, BERT, Marian and BART.

    handle = handle_of(model)      # a GPT2LMHeadModel, BertForMaskedLM, MarianMTModel ...
    confidence(handle, batches)    # batches: dictionaries with input_ids, attention_mask, labels

The model must compute its attention weights: attn_implementation="eager". Labels are those that
the model itself takes, -100 where nothing is to be predicted; without them a language model
predicts every next token. Sequences are padded on the right.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from .errors import HeadsError, HiddenHeadsError
from .handle import Attention, State, Tokens
from .huggingface_base import IGNORED, Batch, HuggingFaceHandle, additive_mask
from .huggingface_translation import MarianHandle
from .losses import linear_losses
from .taps import AttentionModules


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
    kinds: dict[str, type[HuggingFaceHandle]] = {
        "gpt2": GPT2Handle,
        "bert": BertHandle,
        "marian": MarianHandle,
        "bart": MarianHandle,
    }
    kind = kinds.get(model.config.model_type)
    any_model: Any = model  # transformers leaves this method without type hints
    if kind is None or any_model.get_output_embeddings() is None:
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
        found: nn.Module = self.module.transformer.h[stage]
        return found

    def _modules(self, stage: int, attention: str) -> AttentionModules:
        block = self.module.transformer.h[stage].attn
        return AttentionModules(block, block.c_proj, [(block.c_attn, block.embed_dim)])

    def _matrices(self, modules: AttentionModules) -> dict[str, Tensor]:
        fused: Any = modules.attention
        return dict(zip(("query", "key", "value"), fused.c_attn.weight.T.chunk(3)))

    def _run(self, stage: int, layer: nn.Module, state: State) -> State:
        mask = additive_mask(state["target_seen"], state["target"], causal=True)
        return {**state, "target": layer(state["target"], None, mask)}

    def _logits(self, state: State) -> Tensor:
        result: Tensor = self.module.lm_head(self.module.transformer.ln_f(state["target"]))
        return result

    def finish_losses(self, state: State) -> Tensor:
        x = self.module.transformer.ln_f(state["target"])
        return linear_losses(x, self.module.lm_head.weight, None, state["targets"])


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
        found: nn.Module = self.module.bert.encoder.layer[stage]
        return found

    def _modules(self, stage: int, attention: str) -> AttentionModules:
        block = self.module.bert.encoder.layer[stage].attention
        projections = [(block.self.query, 0), (block.self.key, 0)]
        return AttentionModules(block.self, block.output.dense, projections)

    def _run(self, stage: int, layer: nn.Module, state: State) -> State:
        mask = additive_mask(state["source_seen"], state["source"])
        return {**state, "source": layer(state["source"], mask)}

    def _logits(self, state: State) -> Tensor:
        result: Tensor = self.module.cls(state["source"])
        return result
