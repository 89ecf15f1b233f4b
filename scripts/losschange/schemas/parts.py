"""What the schemas of Transformers are made of: rules of attention and of feed-forward blocks."""

from __future__ import annotations

from collections.abc import Sequence

from losschange.cube.layout import COMPONENTS
from losschange.recording.partition import Rule

QKV = ("query", "key", "value")
# Decides which expert sees a token; mixtures of experts have it beside the default components.
ROUTER = "router"
EXPERT_COMPONENTS = (*COMPONENTS, ROUTER)


def stacks_of(layers: int, stack: str) -> tuple[str, ...]:
    """The stacks of a Transformer that is an encoder or a decoder alone."""
    return ("embedding", *[stack] * layers, "output")


def attention_rules(
    place: str,
    names: Sequence[str],
    heads: int,
    key_value_heads: int | None = None,
    depth: int = 1,
    cross: bool = False,
) -> list[Rule]:
    """Rules of an attention whose query, key, value and output are separate linear maps.

    Parameters
    ----------
    place : str
        Pattern of what stands before the names, its dot included.
    names : four of str
        Patterns of the names of query, key, value and output.
    heads, key_value_heads : int
        Keys and values have a cell per key and value head. Where these are fewer than the query
        heads, their biases stand under no head: all biases of a layer are one component, whose
        head h is query head h.
    depth : int
    cross : bool
        Whether keys and values come from an encoder.
    """
    query, key, value, out = names
    shared = key_value_heads or heads
    owned = ("rows", heads) if shared == heads else (None, None)
    prefix = "cross_" if cross else ""
    return [
        Rule(place + query + r"\.weight", prefix + "query", depth, "rows", heads),
        Rule(place + key + r"\.weight", prefix + "key", depth, "rows", shared),
        Rule(place + value + r"\.weight", prefix + "value", depth, "rows", shared),
        Rule(place + out + r"\.weight", prefix + "out", depth, "columns", heads),
        Rule(place + query + r"\.bias", "bias", depth, "rows", heads),
        Rule(place + f"({key}|{value})" + r"\.bias", "bias", depth, *owned),
        Rule(place + out + r"\.bias", "bias", depth),
    ]


def feed_forward_rules(place: str, first: str, second: str, depth: int = 1) -> list[Rule]:
    """Rules of a feed-forward block.

    Parameters
    ----------
    place : str
        Pattern of what stands before the names, its dot included.
    first, second : str
        Patterns of the names of the maps into and out of the inner width; a gate is one of the
        first.
    depth : int
    """
    return [
        Rule(place + f"({first})" + r"\.weight", "W1", depth),
        Rule(place + f"({second})" + r"\.weight", "W2", depth),
        Rule(place + f"({first}|{second})" + r"\.bias", "bias", depth),
    ]


def norm_rule(pattern: str, depth: int = 1) -> Rule:
    """Rule of the weights and biases of norms."""
    return Rule(pattern + r"\.(weight|bias)", "norm", depth)
