"""Rules of LoRA's matrices (Hu et al. 2021), as PEFT adds them to the modules of a known model.

A module with the weight W (out x in) is trained as W + BA, with A (rank x in) and B (out x rank).
Both count to the component of W. Where heads own the outputs of W, they own the rows of B, and all
of them share A; where they own its inputs, they own the columns of A, and share B.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from torch import nn

from losschange.recording.partition import Rule, Schema

# What PEFT puts between a module's name and that of a parameter that is trained as it is.
KEPT = r"(\.base_layer|\.modules_to_save\.\w+)?"
_WEIGHT = r"\.weight"
_LAST = re.compile(r"\\\.(weight|bias|\(weight\|bias\))$")


def has_adapters(model: nn.Module) -> bool:
    """Whether a model has matrices of LoRA."""
    return any(".lora_" in name for name, _ in model.named_parameters())


def is_of_peft(module: nn.Module) -> bool:
    """Whether a module is one of PEFT's, which pass attributes of the model inside on."""
    return type(module).__module__.partition(".")[0] == "peft"


def with_adapters(model: nn.Module, schema: Schema) -> Schema:
    """A schema with rules for the adapters of the modules that it has rules for.

    Where several components share a fused weight, its A is of all of them: a component of its own,
    such as "query+key+value".

    Parameters
    ----------
    model : torch.nn.Module
    schema : Schema
        Of the model, with the names that parameters have without adapters.
    """
    places = [
        (f"{name}.weight", type(getattr(module, "base_layer", module)).__name__ == "Conv1D")
        for name, module in model.named_modules()
        if any(child.startswith("lora_") for child, _ in module.named_children())
    ]
    rules: list[Rule] = []
    for rule in schema.rules:
        rules.append(replace(rule, pattern=_LAST.sub(lambda m: KEPT + m[0], rule.pattern)))
        transposed = {t for name, t in places if re.fullmatch(rule.pattern, name)}
        if transposed and rule.pattern.endswith(_WEIGHT):
            rules += _adapter_rules(rule, transposed.pop())
    shared = [r.component for r in rules if isinstance(r.component, str)]
    components = dict.fromkeys((*schema.components, *(name for name in shared if "+" in name)))
    return Schema(schema.stacks, schema.heads, tuple(rules), tuple(components))


def _adapter_rules(rule: Rule, transposed: bool) -> Iterator[Rule]:
    """Rules of the adapters of a weight; Conv1D of transformers keeps it transposed, in x out."""
    place = rule.pattern.removesuffix(_WEIGHT)
    outputs, inputs = ("columns", "rows") if transposed else ("rows", "columns")
    whole = rule.component if isinstance(rule.component, str) else "+".join(rule.component)
    first = place + r"\.lora_(embedding_)?A\.\w+(\.weight)?"
    # B of an embedding, and DoRA's magnitudes, have a row per output, too.
    second = place + r"\.lora_((embedding_)?B|magnitude_vector)\.\w+(\.weight|\.bias)?"
    if rule.heads == outputs:
        yield Rule(first, whole, rule.depth)
        yield replace(rule, pattern=second, heads="rows")
    elif rule.heads == inputs:
        yield replace(rule, pattern=first, heads="columns")
        yield Rule(second, whole, rule.depth)
    else:
        yield Rule(first, whole, rule.depth)
        yield Rule(second, whole, rule.depth)
