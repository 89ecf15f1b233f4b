"""Attention in models of one's own, recognised by class or by the names of its projections."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from losschange.recording.partition import Rule

from .parts import QKV

# Names as people write them, in lower case and without "_".
FUSED = {"cattn", "qkv", "inproj", "wqkv", "qkvproj", "querykeyvalue", "toqkv"}
OUTS = {"cproj", "outproj", "oproj", "out", "o", "wo", "toout", "proj", "output", "dense", "outlin"}
HEADS = ("nhead", "nheads", "numheads", "heads", "numattentionheads", "nattentionheads")
KEY_HEADS = ("nkvheads", "nkvhead", "numkvheads", "numkeyvalueheads", "kvheads")
CROSS = re.compile(r"cross|encoder_attn|multihead_attn|encdec|enc_dec|src_attn", re.IGNORECASE)


@dataclass(frozen=True)
class Attention:
    """An attention module.

    Parameters
    ----------
    name : str
        In the model.
    module : torch.nn.Module
    heads, key_value_heads : int
    projections : mapping of {"query", "key", "value", "out", "fused"} to str
        Names of its projections, "" for the parameters of torch.nn.MultiheadAttention itself.
    cross : bool
        Whether keys and values come from an encoder.
    """

    name: str
    module: nn.Module
    heads: int
    key_value_heads: int
    projections: dict[str, str]
    cross: bool

    def rules(self, depth: int) -> Iterator[Rule]:
        """Rules of all its projections; norms and the like are left to others."""
        prefix = "cross_" if self.cross else ""
        place = re.escape(f"{self.name}.")
        qkv = tuple(prefix + name for name in QKV)
        numbers = (self.heads, self.key_value_heads, self.key_value_heads)
        fused = numbers if len(set(numbers)) > 1 else self.heads
        if isinstance(self.module, nn.MultiheadAttention):
            yield Rule(place + "in_proj_weight", qkv, depth, "rows", fused)
            yield Rule(place + "in_proj_bias", ("bias",) * 3, depth, "rows", fused)
            for short, component in zip("qkv", qkv):
                yield Rule(place + f"{short}_proj_weight", component, depth, "rows", self.heads)
            for short in "kv":
                yield Rule(place + f"bias_{short}", "bias", depth, "columns", self.heads)
        for role, name in self.projections.items():
            # A projection may be a Sequential, such as a Linear and a dropout.
            place = re.escape(f"{self.name}.{name}") + r"(\.\d+)?"
            yield from self._projection(role, place, depth, qkv, fused)

    def _projection(
        self, role: str, place: str, depth: int, qkv: tuple[str, ...], fused: int | tuple[int, ...]
    ) -> Iterator[Rule]:
        weight, bias = place + r"\.weight", place + r"\.bias"
        grouped = self.heads != self.key_value_heads
        if role == "fused":
            yield Rule(weight, qkv, depth, "rows", fused)
            # Heads of two kinds have no bias cells in common: see parts.attention_rules.
            owned = (None, None) if grouped else ("rows", self.heads)
            yield Rule(bias, "bias" if grouped else ("bias",) * 3, depth, *owned)
        elif role == "out":
            yield Rule(weight, qkv[0].replace("query", "out"), depth, "columns", self.heads)
            yield Rule(bias, "bias", depth)
        else:
            number = self.heads if role == "query" else self.key_value_heads
            yield Rule(weight, qkv[QKV.index(role)], depth, "rows", number)
            owned = ("rows", number) if number == self.heads else (None, None)
            yield Rule(bias, "bias", depth, *owned)


def find_attentions(root: nn.Module, prefix: str = "") -> list[Attention]:
    """All attention modules below a module, under their names in the model."""
    found: list[Attention] = []
    for name, module in root.named_modules(prefix=prefix):
        inside = any(name.startswith(f"{one.name}.") for one in found)
        if not inside and (one := _as_attention(name, module)):
            found.append(one)
    return found


def _as_attention(name: str, module: nn.Module) -> Attention | None:
    cross = bool(CROSS.search(name.rpartition(".")[2]))
    if isinstance(module, nn.MultiheadAttention):
        heads = module.num_heads
        return Attention(name, module, heads, heads, {"out": "out_proj"}, cross)
    # Models like BERT keep what makes the heads in a module called `self`, and the map out of them
    # beside it, in `output.dense`.
    inner = dict(module.named_children()).get("self")
    heads = _number(module, HEADS) or (None if inner is None else _number(inner, HEADS))
    projections = _projections(module)
    if inner is not None:
        projections = {role: f"self.{child}" for role, child in _projections(inner).items()}
        if "output.dense" in dict(module.named_modules()):
            projections["out"] = "output.dense"
    whole = "fused" in projections or set(QKV) <= projections.keys()
    if heads is None or not whole:
        return None
    shared = _number(module, KEY_HEADS) or heads
    return Attention(name, module, heads, shared, projections, cross)


def _projections(module: nn.Module) -> dict[str, str]:
    return {
        role: child
        for child, part in module.named_children()
        if (role := _role(child)) and any(True for _ in part.parameters())
    }


def _role(name: str) -> str | None:
    plain = name.lower().replace("_", "")
    if plain in FUSED:
        return "fused"
    if plain in OUTS:
        return "out"
    for role in QKV:
        short = role[0]
        known = {f"{short}proj", f"{role}proj", f"w{short}", f"to{short}", f"{short}lin"}
        if plain in {role, short, *known}:
            return role
    return None


def _number(module: nn.Module, names: tuple[str, ...]) -> int | None:
    for attribute, value in vars(module).items():
        if attribute.lower().replace("_", "") in names and isinstance(value, int) and value > 0:
            return value
    return None
