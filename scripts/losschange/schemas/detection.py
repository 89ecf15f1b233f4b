"""The schema of a model, from the model itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from losschange.recording.partition import PartitionError, Rule, Schema, partition_parameters

from .adapters import has_adapters, is_of_peft, with_adapters
from .bert import bert_family, modernbert_family, vit_family
from .blocks import block_schema, find_blocks, unclear_fusions
from .generic import is_norm, module_schema
from .gpt import gpt2_family, gpt_neox_family, phi_family
from .head_check import check_heads
from .llama import llama_family
from .order import forward_order
from .seq2seq import bart_family, opt_family, t5_family

# Pattern of what stands before the names of the bare model, and its configuration -> Schema.
Family = Callable[[str, Any], Schema]

# Names are those of `model_type` in the configurations of Hugging Face.
FAMILIES: Mapping[str, Family] = {
    "gpt2": gpt2_family,
    "gpt_neox": gpt_neox_family,
    "phi": phi_family,
    **dict.fromkeys(
        (
            "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "olmo",
            "olmo2", "olmo3", "phi3", "mixtral", "qwen2_moe", "qwen3_moe",
        ),
        llama_family,
    ),
    **dict.fromkeys(("bert", "roberta", "xlm-roberta", "camembert"), bert_family),
    "modernbert": modernbert_family,
    "vit": vit_family,
    "opt": opt_family,
    **dict.fromkeys(("bart", "mbart", "marian"), bart_family),
    **dict.fromkeys(("t5", "mt5"), t5_family),
}  # fmt: skip


def schema_for(
    model: torch.nn.Module,
    example: Sequence[Any] | Mapping[str, Any] | None = None,
    causal: bool | None = None,
) -> Schema:
    """The schema of a model.

    Known models of Hugging Face, alone or inside of another module, get theirs by their
    configuration; LoRA's matrices that PEFT added to them count to the components of the weights
    that they change. Others are read by the classes and names of their modules: the layers of
    torch.nn.Transformer, and layers of one's own with an attention whose projections have usual
    names (`q_proj`, `c_attn`, `wo` ...) and whose number of heads is an attribute (`n_head`,
    `num_heads` ...). Any other network has a layer per module that holds parameters, in the order
    of the forward pass.

    Parameters
    ----------
    model : torch.nn.Module
    example : sequence or mapping, optional
        Arguments of the model's forward pass, by position or by name. The order of the modules is
        then that of a real pass, and the heads of a model that is not known by its configuration
        are checked (see `check_heads`), and with them the order of a fused query, key and value.
        Without it, the order is that of the traced or, where it cannot be traced, of the written
        modules.
    causal : bool, optional
        Whether layers without cross-attention are a decoder's ("dec.1"). Without it, the names
        of their classes tell. Known models do not need it.

    Returns
    -------
    Schema
        Complete: every trainable parameter of the model is in one cell.

    Raises
    ------
    PartitionError
        If parameters are left over, the example shows other heads than the names do, or only an
        example can tell the order of a fused tensor.
    """
    place, inner = _known_model(model)
    if inner is not None:
        schema = _family_schema(model, place, inner)
    else:
        unclear = unclear_fusions(model) if example is None else []
        if unclear:
            raise PartitionError(
                f"the name of {unclear[0]!r} does not tell which of its rows are queries, keys and "
                "values of which head; give schema_for an example, arguments of a forward pass, "
                "which shows it"
            )
        order = forward_order(model, example)
        schema = block_schema(model, order, causal) or module_schema(model, order)
    named = [(name, p.shape) for name, p in model.named_parameters() if p.requires_grad]
    partition_parameters(named, schema)
    if example is not None and inner is None and schema.heads:
        return _with_heads_as_shown(model, schema, example)
    return schema


def _with_heads_as_shown(
    model: torch.nn.Module, schema: Schema, example: Sequence[Any] | Mapping[str, Any]
) -> Schema:
    """The schema, or that with fused tensors head by head, whichever a forward pass confirms."""
    try:
        check_heads(model, schema, example)
        return schema
    except PartitionError:
        rules = [
            replace(rule, order="heads")
            if isinstance(rule.component, tuple) and not isinstance(rule.n_heads, tuple)
            else rule
            for rule in schema.rules
        ]
        other = replace(schema, rules=tuple(rules))
        try:
            check_heads(model, other, example)
        except PartitionError:
            other = schema
        if other == schema:
            raise
        return other


def _known_model(model: torch.nn.Module) -> tuple[str, torch.nn.Module | None]:
    """Place and module of the outermost model whose configuration is known, if there is one.

    None where further layers with attention stand outside of it, such as a known encoder's decoder:
    all that a family does not know counts to the output.
    """
    for module in model.modules():
        kind = getattr(getattr(module, "config", None), "model_type", None)
        if kind in FAMILIES and not is_of_peft(module):
            base = getattr(module, "base_model", module)
            place = next(name for name, found in model.named_modules() if found is base)
            inside = f"{place}." if place else ""
            whole = all(block.name.startswith(inside) for block in find_blocks(model))
            return (place, module) if whole else ("", None)
    return "", None


def _family_schema(model: torch.nn.Module, place: str, known: torch.nn.Module) -> Schema:
    """Rules of the bare model at a place, and one for every parameter outside of it."""
    pattern = re.escape(f"{place}." if place else "")
    config: Any = known.config
    schema = FAMILIES[config.model_type](pattern, config)
    end = len(schema.stacks) - 1
    rules = [
        Rule(re.escape(f"{owner}.{own}" if owner else own), _component(module, own), end)
        for owner, module in model.named_modules()
        for own, parameter in module.named_parameters(recurse=False)
        if place and not f"{owner}.".startswith(f"{place}.")
    ]
    schema = Schema(schema.stacks, schema.heads, (*schema.rules, *rules), schema.components)
    return with_adapters(model, schema) if has_adapters(model) else schema


def _component(module: torch.nn.Module, name: str) -> str:
    """Component of a parameter in what stands on top of a model."""
    if is_norm(module):
        return "norm"
    return "bias" if name.endswith("bias") else "output"


__all__ = ["FAMILIES", "PartitionError", "schema_for"]
