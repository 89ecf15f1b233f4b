"""The hidden states of every layer of a trained model for a text."""

from __future__ import annotations

from torch import Tensor

from .fairseq_handle import Batch, FairseqHandle

# The input of the first layer without position embeddings. Otherwise it is computed as layer "0",
# with the layer norm of the embeddings if the model has one.
BARE = "0 without positions"
# The last layer after the norm that ends a pre-norm stack.
NORM = "norm"


def layer_states(handle: FairseqHandle, batch: Batch) -> dict[str, dict[str, Tensor]]:
    """The states of every stack of a model for a batch.

    Parameters
    ----------
    handle : FairseqHandle
    batch : fairseq sample

    Returns
    -------
    dict of "source" (the encoder) and "target" (the decoder) to dict of layer to Tensor
        States (sentences, length, width) of the layers "0 without positions"; "0", after
        embedding and positions; "1" ... "N"; and "norm" where a norm follows the last layer.
        `handle.tokens(batch)` gives for each side the positions that are text.
    """
    state, bare = handle.start(batch), handle.start(batch, positions=False)
    sides = [side for side in ("source", "target") if side in state]
    found = {side: {BARE: bare[side], "0": state[side]} for side in sides}
    for stage in range(len(handle.stages)):
        side, norm = handle.side(stage), handle.norm_after(stage)
        state = handle.run_layer(stage, state)
        # The number of the layer: two of the states so far are those of the input.
        found[side][str(len(found[side]) - 1)] = state[side]
        if norm is not None:
            state = {**state, side: norm(state[side])}
            found[side][NORM] = state[side]
    return found
