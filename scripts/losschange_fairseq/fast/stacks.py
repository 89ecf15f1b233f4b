"""fairseq's Transformer stacks with faster layers, which replace the stock stacks."""

from __future__ import annotations

import torch
from fairseq.models import FairseqEncoderDecoderModel
from fairseq.models.transformer import TransformerDecoderBase, TransformerEncoderBase

from ..prefix_lm import PrefixDecoder, SeesPrefix
from . import layers
from .attention import without_plans


def use_fast_layers(model, compiled: bool = False) -> None:
    """Let a model run the functions of `layers`; parameters and their names do not change.

    Parameters
    ----------
    model : fairseq model
        A `transformer`, `transformer_lm`, `prefix_lm` or `roberta` model; changed in place.
    compiled : bool
        Whether the layers are compiled with torch.compile.

    Raises
    ------
    ValueError
        If a stack has an option or part that `layers` does not support.
    """
    kinds = (
        (TransformerEncoderBase, FastEncoder, layers.encoder_layer),
        (PrefixDecoder, FastPrefixDecoder, layers.decoder_layer),
        (TransformerDecoderBase, FastDecoder, layers.decoder_layer),
    )
    # The samples of language models are blocks of one length.
    lengths_change = isinstance(model, FairseqEncoderDecoderModel)
    for parent in list(model.modules()):
        for name, module in list(parent.named_children()):
            for stock, fast, run_layer in kinds:
                if isinstance(module, stock):
                    _refuse_unknown(module)
                    stack = fast(module, _compile(run_layer, compiled), lengths_change)
                    setattr(parent, name, stack)
                    break


class _FastStack:
    """Replaces a stock stack and takes over its parameters, modules and settings."""

    def __init__(self, stock, run_layer, lengths_change: bool):
        self.__dict__.update(stock.__dict__)
        self.run_layer = run_layer
        self.lengths_change = lengths_change

    def run_layers(self, x, *context):
        """Output of the layers for x (batch, length, width)."""
        with without_plans(self.lengths_change):
            for layer in self.layers:
                x = self.run_layer(layer, x, *context)
        return x


class FastEncoder(_FastStack, TransformerEncoderBase):
    """An encoder with batch-first layers; padding is masked only if a batch has padding."""

    def forward_scriptable(
        self, src_tokens, src_lengths=None, return_all_hiddens=False, token_embeddings=None
    ):
        """The output of the stock encoder, without the states between the layers."""
        padding = src_tokens.eq(self.padding_idx)
        seen = padding.logical_not()[:, None, None, :] if padding.any() else None
        x, embedding = self.forward_embedding(src_tokens, token_embeddings)
        x = self.run_layers(x, seen)
        if self.layer_norm is not None:
            x = self.layer_norm(x)
        return {
            "encoder_out": [x.transpose(0, 1)],
            "encoder_padding_mask": [padding],
            "encoder_embedding": [embedding],
            "encoder_states": [],
            "fc_results": [],
            "src_tokens": [],
            "src_lengths": [padding.logical_not().sum(dim=1, dtype=torch.int32).view(-1, 1)],
            # Empty if there is no padding, so that the decoder needs no further synchronisation.
            "seen": [] if seen is None else [seen],
        }


class FastDecoder(_FastStack, TransformerDecoderBase):
    """A decoder without stored causal masks and attention weights.

    Incremental decoding runs the code of the stock decoder.
    """

    def extract_features_scriptable(
        self,
        prev_output_tokens,
        encoder_out=None,
        incremental_state=None,
        full_context_alignment=False,
        alignment_layer=None,
        alignment_heads=None,
    ):
        """The same features (batch, length, width) as the stock decoder's."""
        asked = (incremental_state, alignment_layer, alignment_heads)
        if full_context_alignment or any(option is not None for option in asked):
            return super().extract_features_scriptable(
                prev_output_tokens,
                encoder_out,
                incremental_state,
                full_context_alignment,
                alignment_layer,
                alignment_heads,
            )
        source = seen = None
        if encoder_out is not None:
            source = encoder_out["encoder_out"][0].transpose(0, 1)
            if "seen" not in encoder_out or encoder_out["seen"]:
                seen = encoder_out["encoder_padding_mask"][0].logical_not()[:, None, None, :]
        x = self.embed_scale * self.embed_tokens(prev_output_tokens)
        if self.project_in_dim is not None:
            x = self.project_in_dim(x)
        if self.embed_positions is not None:
            x = x + self.embed_positions(prev_output_tokens)
        if self.layernorm_embedding is not None:
            x = self.layernorm_embedding(x)
        x = self.dropout_module(x)
        x = self.run_layers(x, source, seen)
        if self.layer_norm is not None:
            x = self.layer_norm(x)
        if self.project_out_dim is not None:
            x = self.project_out_dim(x)
        return x, {"attn": [None], "inner_states": []}


class FastPrefixDecoder(SeesPrefix, FastDecoder):
    """A fast decoder of a prefix language model; without prefixes it is causal."""

    def run_layers(self, x, source, seen):
        """Output of the layers for x (batch, length, width)."""
        return super().run_layers(x, source, seen, self.seen_keys)


def _compile(function, compiled: bool):
    return torch.compile(function) if compiled else function


def _refuse_unknown(stack) -> None:
    """Refuse options of fairseq that would otherwise be ignored silently."""
    unknown = ("attn_ln", "c_attn", "ffn_layernorm", "w_resid")
    for layer in stack.layers:
        found = [name for name in unknown if getattr(layer, name, None) is not None]
        found += [name for name in ("self_attn", "encoder_attn") if _is_unusual(layer, name)]
        if found or stack.quant_noise is not None or getattr(stack, "cross_self_attention", False):
            raise ValueError(
                f"the fast layers do not know {', '.join(found) or 'this stack'} of "
                f"{type(stack).__name__}; use the stock layers"
            )


def _is_unusual(layer, name: str) -> bool:
    block = getattr(layer, name, None)
    return block is not None and (block.bias_k is not None or block.add_zero_attn)
