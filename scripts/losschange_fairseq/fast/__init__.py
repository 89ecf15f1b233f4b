"""Faster computation of the same update; every part has its own option.

`stacks` runs the layers (with `layers`, `attention` and `small_heads`), `criterions` the loss (with
`cross_entropy`), `optimizer` the step, `masking` the masks of an MLM. Stock fairseq is the
reference that they are tested against. The parameters and their names stay those of stock fairseq.
"""

from . import criterions, optimizer  # noqa: F401
