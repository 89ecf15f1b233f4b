"""Faster ways to the same update, each a switch of its own; stock fairseq is the reference.

`stacks` runs the layers (with `layers` and `attention`), `cross_entropy` and `criterions` the loss,
`optimizer` the step, `modes` the bookkeeping between them, `micro_batches` joins what an update
is made of. The parameters and their names stay those of stock fairseq.
"""

from . import criterions, optimizer  # noqa: F401  (registers them with fairseq)
