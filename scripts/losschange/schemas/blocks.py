"""Schema of Transformers of one's own, read from the classes and names of their modules."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from losschange.cube.layout import COMPONENTS
from losschange.recording.partition import Rule, Schema

from .attention import Attention, find_attentions
from .generic import is_norm
from .order import own_parameters
from .parts import EXPERT_COMPONENTS, ROUTER

SECOND = re.compile(r"(down|fc2|w2|c_proj|linear2|lin2|wo|proj_out|second|out)(_proj)?$")
LAYERS = nn.TransformerEncoderLayer | nn.TransformerDecoderLayer
EXPERTS = re.compile(r"(experts?\.)(\d+)(?=\.)")


@dataclass(frozen=True)
class Block:
    """A layer of a Transformer: its name in the model, module, depth and attentions."""

    name: str
    module: nn.Module
    depth: int
    attentions: tuple[Attention, ...]


def block_schema(model: nn.Module, order: Sequence[str], causal: bool | None) -> Schema | None:
    """Schema of a model whose layers have an attention that is recognised; None without one.

    Parameters
    ----------
    model : torch.nn.Module
    order : sequence of str
        Names of the modules that hold parameters, as the forward pass uses them.
    causal : bool or None
        Whether layers without cross-attention are a decoder's; None: the names of classes tell.
    """
    blocks = find_blocks(model)
    if not blocks:
        return None
    rules = [rule for block in blocks for rule in _block_rules(block)]
    rules += _outer_rules(model, order, blocks)
    heads = [
        number
        for rule in rules
        for number in (rule.n_heads if isinstance(rule.n_heads, tuple) else (rule.n_heads or 0,))
    ]
    experts = [int(e) + 1 for b in blocks for n, _ in b.module.named_parameters()
               for _, e in EXPERTS.findall(n)]  # fmt: skip
    routed = any(rule.component == ROUTER for rule in rules)
    return Schema(
        ("embedding", *(_stack(model, block, causal) for block in blocks), "output"),
        max(heads + experts),
        tuple(rules),
        EXPERT_COMPONENTS if routed else COMPONENTS,
    )


def find_blocks(model: nn.Module) -> list[Block]:
    """The layers of a Transformer: entries of a list that all have an attention."""
    found: list[Block] = []
    for name, module in model.named_modules():
        if any(name == block.name or name.startswith(f"{block.name}.") for block in found):
            continue
        children = [(f"{name}.{n}" if name else n, child) for n, child in module.named_children()]
        if isinstance(module, nn.ModuleList | nn.Sequential) and children:
            attentions = [tuple(find_attentions(child, place)) for place, child in children]
            # An attention in a list is one of several things in a layer, not a layer.
            if all(attentions) and all(a[0].name != c[0] for a, c in zip(attentions, children)):
                for (place, child), own in zip(children, attentions):
                    found.append(Block(place, child, len(found) + 1, own))
        elif isinstance(module, LAYERS):
            own = tuple(find_attentions(module, name))
            found.append(Block(name, module, len(found) + 1, own))
    return found


def unclear_fusions(model: nn.Module) -> list[str]:
    """Fused projections of which the name does not tell what their rows are.

    `c_attn`, `qkv` and the like hold all queries, then all keys, then all values, in modules of
    one's own. What is called `query_key_value` often has them head by head, and published models
    have other orders under the same names, too.
    """
    published = getattr(getattr(model, "config", None), "model_type", None) is not None
    return [
        f"{one.name}.{one.projections['fused']}"
        for block in find_blocks(model)
        for one in block.attentions
        if "fused" in one.projections
        and (published or one.projections["fused"].endswith("query_key_value"))
    ]


def _stack(model: nn.Module, block: Block, causal: bool | None) -> str:
    if any(one.cross for one in block.attentions) or isinstance(
        block.module, nn.TransformerDecoderLayer
    ):
        return "decoder"
    if causal is None:
        names = [type(block.module), *(type(one.module) for one in block.attentions), type(model)]
        causal = any(
            re.search("causal|(?<!encoder)decoder|gpt", found.__name__, re.IGNORECASE)
            for found in names
        )
    return "decoder" if causal else "encoder"


def _block_rules(block: Block) -> Iterator[Rule]:
    """Rules of the parameters of a layer."""
    rules = [rule for one in block.attentions for rule in one.rules(block.depth)]
    names = [name for name, _ in block.module.named_parameters(prefix=block.name)]
    used = [rule for rule in rules if any(re.fullmatch(rule.pattern, name) for name in names)]
    yield from used
    outs = [one.module.get_submodule(one.projections["out"]) for one in block.attentions
            if "out" in one.projections]  # fmt: skip
    widths = {p.shape[0] for out in outs for p in out.parameters() if p.ndim > 1}
    for owner, module in block.module.named_modules(prefix=block.name):
        for name, parameter in own_parameters(module):
            full = f"{owner}.{name}"
            if not any(re.fullmatch(rule.pattern, full) for rule in used):
                component = _inner_component(owner, module, name, parameter, widths)
                pattern = EXPERTS.sub(r"\1(?P<head>\2)", full)
                yield Rule(
                    re.escape(full) if pattern == full else pattern.replace(".", r"\."),
                    component,
                    block.depth,
                )


def _inner_component(
    owner: str, module: nn.Module, name: str, parameter: Any, widths: set[int]
) -> str:
    """Component of a parameter in a layer that belongs to no attention."""
    if is_norm(module):
        return "norm"
    if "bias" in name:
        return "bias"
    if parameter.ndim < 2:
        return "norm"
    last = owner.rpartition(".")[2]
    if re.search(r"router|gate$", last) and ("moe" in owner.lower() or "router" in last):
        return ROUTER
    rows, columns = parameter.shape[:2]
    if (rows in widths) != (columns in widths):
        return "W2" if rows in widths else "W1"
    return "W2" if SECOND.search(last) else "W1"


def _outer_rules(model: nn.Module, order: Sequence[str], blocks: Sequence[Block]) -> list[Rule]:
    """Rules of what stands before, between and after the layers."""
    modules, rules = dict(model.named_modules()), []
    end, passed = len(blocks) + 1, 0
    for owner in order:
        block = next((b for b in blocks if f"{owner}.".startswith(f"{b.name}.")), None)
        if block is not None:
            passed = max(passed, block.depth)
            continue
        for name, _ in own_parameters(modules[owner]):
            full = f"{owner}.{name}" if owner else name
            component, depth = _outer_cell(modules[owner], full, passed, end)
            rules.append(Rule(re.escape(full), component, depth))
    return rules


def _outer_cell(module: nn.Module, full: str, passed: int, end: int) -> tuple[str, int]:
    here = end if passed == end - 1 else passed
    if is_norm(module):
        return "norm", here
    if re.search(r"(^|[._])w?p(os|e)([._]|it|$)|pos_?emb", full):
        return "position", 0
    if isinstance(module, nn.Embedding) or re.search(r"(^|[._])(cls|emb)", full):
        return "embedding", 0
    if "bias" in full:
        return "bias", here
    if here in (0, end):
        return ("embedding" if here == 0 else "output"), here
    return "W1", here
