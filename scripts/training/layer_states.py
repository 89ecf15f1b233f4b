"""What every layer of a trained model makes of a text."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .fairseq_handle import Batch, FairseqHandle


@dataclass(frozen=True)
class LayerStates:
    """The states of one stack, each (sentences, length, width).

    Attributes
    ----------
    layers : list of Tensor
        0 is the input of the first layer, tokens with positions; k the output of layer k.
    without_positions : Tensor
        The input of the first layer, had no positions been added.
    final_norm : Tensor or None
        The last layer behind the norm that ends a pre-norm stack; None in a post-norm stack.
    """

    layers: list[Tensor]
    without_positions: Tensor
    final_norm: Tensor | None


def layer_states(handle: FairseqHandle, batch: Batch) -> dict[str, LayerStates]:
    """The states of every stack of a model for a batch.

    Parameters
    ----------
    handle : FairseqHandle
    batch : fairseq sample

    Returns
    -------
    dict of "source" (the encoder) and "target" (the decoder) to LayerStates
        Which positions are text stands in `handle.tokens(batch)` under the same names.
    """
    state, bare = handle.start(batch), handle.start(batch, positions=False)
    sides = [side for side in ("source", "target") if side in state]
    layers = {side: [state[side]] for side in sides}
    norms: dict[str, Tensor | None] = dict.fromkeys(sides)
    for stage in range(len(handle.stages)):
        side = handle.side(stage)
        state = handle.run_layer(stage, state)
        layers[side].append(state[side])
        norm = handle.norm_after(stage)
        if norm is not None:
            state = {**state, side: norm(state[side])}
            norms[side] = state[side]
    return {side: LayerStates(layers[side], bare[side], norms[side]) for side in sides}
