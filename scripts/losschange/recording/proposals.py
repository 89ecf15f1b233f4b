"""Rules proposed for parameters that a schema does not claim."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Patterns of parameter names and their components; the first match counts. It is only a guess.
_HINTS = (
    (r"norm|(^|\.|_)ln(_|\.|\d|$)|layer_scale", "norm"),
    (r"(^|\.)bias$|_bias$|\.b$", "bias"),
    (r"pos|wpe", "position"),
    (r"emb|wte", "embedding"),
    (r"lm_head|classifier|score", "output"),
    (r"(cross|encoder_attn|multihead_attn).*(\.|_)q", "cross_query"),
    (r"(cross|encoder_attn|multihead_attn).*(\.|_)k", "cross_key"),
    (r"(cross|encoder_attn|multihead_attn).*(\.|_)v", "cross_value"),
    (r"(cross|encoder_attn|multihead_attn).*(\.|_)o", "cross_out"),
    (r"att.*(\.|_)(wq|q|query|q_proj)(\.|$)", "query"),
    (r"att.*(\.|_)(wk|k|key|k_proj)(\.|$)", "key"),
    (r"att.*(\.|_)(wv|v|value|v_proj)(\.|$)", "value"),
    (r"att.*(\.|_)(wo|o|out|out_proj|o_proj|c_proj|dense)(\.|$)", "out"),
    (r"down|fc2|w2|c_proj|linear2|lin2|dense_4h", "W2"),
)


def propose_rules(
    parameters: Sequence[tuple[str, tuple[int, ...]]], stacks: Sequence[str]
) -> list[str]:
    """A rule, as Python code, for each kind of parameter: those that differ by layer share one.

    Parameters
    ----------
    parameters : sequence of (name, shape)
    stacks : sequence of str
        Those of the schema. Depths are guessed: 1 + layer, 0 for embeddings, the last otherwise.
    """
    found: dict[str, None] = {}
    for name, shape in parameters:
        component = _component(name, shape)
        pattern, layered = re.subn(
            r"\\\.(\d+)\\\.", r"\\.(?P<layer>\\d+)\\.", re.escape(name), count=1
        )
        early = component in ("embedding", "position")
        depth = 1 if layered else 0 if early else len(stacks) - 1
        found[f'Rule(r"{pattern}", "{component}", {depth})'] = None
    return list(found)


def _component(name: str, shape: tuple[int, ...]) -> str:
    for hint, component in _HINTS:
        if re.search(hint, name):
            return component
    return "norm" if len(shape) < 2 else "W1"
