"""Faster ways to the same update, each a switch of its own; stock fairseq is the reference.

`stacks` runs the layers (with `layers`, `attention` and `small_heads`), `criterions` the loss (with
`cross_entropy`), `optimizer` the step, `masking` the masks of an MLM. The parameters
and their names stay those of stock fairseq.
"""

from . import criterions, optimizer  # noqa: F401
