"""What the library asks of a model: one protocol, whatever software the model comes from.

A model is a chain of stages. A stage is one layer of the encoder or of the decoder, in the order
in which they run. Between two stages stands a state, so a pass can be resumed at any layer's
input: the layers below a head need not run again when only that head changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

# Everything that the later stages need. Every tensor is batch first. Floating-point tensors are
# activations; masks must be bool and token ids integers. "targets" (sentences, length) are the
# ids of the words to predict, negative where there is none.
State = Mapping[str, Tensor]

# Name of an attention type to gates (layers, heads), or (sentences, layers, heads).
Gates = Mapping[str, Tensor]


@dataclass(frozen=True)
class Attention:
    """One type of attention in all layers of its stack.

    Parameters
    ----------
    name : str
        "encoder", "decoder" or "cross".
    layers, heads : int
        Number of layers, and of heads in each.
    query, key : str
        Which tokens ask and which are looked at: "source" or "target".
    causal : bool
        Whether a query sees only itself and the keys before it.
    """

    name: str
    layers: int
    heads: int
    query: str
    key: str
    causal: bool = False


@dataclass(frozen=True)
class Tokens:
    """The tokens that one side of a batch feeds into the model.

    Parameters
    ----------
    ids : int Tensor (sentences, length)
    present : bool Tensor (sentences, length)
        False at padding.
    content : bool Tensor (sentences, length)
        True at text: False at padding and at symbols for the beginning and end of a sentence.
    """

    ids: Tensor
    present: Tensor
    content: Tensor


@dataclass(frozen=True)
class Output:
    """What a pass ends with.

    Parameters
    ----------
    logits : Tensor (sentences, length, vocabulary)
    losses : Tensor (sentences, length)
        Cross-entropy in nats; zero at positions without a target.
    predicted : bool Tensor (sentences, length)
        True at positions with a target.
    """

    logits: Tensor
    losses: Tensor
    predicted: Tensor


@dataclass(frozen=True)
class OutProjection:
    """The matrix that mixes the outputs of the heads of one layer.

    Parameters
    ----------
    parameter : nn.Parameter (width, width)
    input_axis : int
        Axis of the concatenated heads: 1 in torch.nn.Linear, 0 in GPT-2's Conv1D.
    """

    parameter: nn.Parameter
    input_axis: int = 1

    def by_head(self, matrix: Tensor, heads: int) -> Tensor:
        """Cut a matrix of the parameter's shape into (heads, width of a head, width)."""
        rows = matrix.T if self.input_axis == 1 else matrix
        return rows.reshape(heads, -1, rows.shape[1])


class ModelHandle(Protocol):
    """A model whose heads can be seen, closed and resumed from.

    Attributes
    ----------
    module : nn.Module
        Owner of the parameters.
    attentions : mapping of name to Attention
    stages : sequence of mapping of attention name to layer
        The attentions of each stage: {"encoder": 3}, or {"decoder": 2, "cross": 2}.
    """

    module: nn.Module
    attentions: Mapping[str, Attention]
    stages: Sequence[Mapping[str, int]]

    def tokens(self, batch: Any) -> Mapping[str, Tokens]:
        """The tokens of a batch: of "source", of "target", or of both."""
        ...

    def start(self, batch: Any) -> State:
        """The state in front of the first stage: embedded tokens, masks, targets."""
        ...

    def step(
        self,
        stage: int,
        state: State,
        gates: Mapping[str, Tensor] | None = None,
        frozen: bool = False,
        weights: dict[str, Tensor] | None = None,
    ) -> State:
        """Run one stage.

        Parameters
        ----------
        stage : int
        state : State
        gates : mapping of attention name to Tensor (heads,) or (sentences, heads), optional
            The output of each head, before the out projection, is multiplied by its gate.
        frozen : bool
            Whether attention weights, the standard deviations of layer norms and the ratios
            output / input of activation functions count as constants when differentiating. The
            values stay the same; the model becomes piecewise linear.
        weights : dict, optional
            Receives the attention weights (sentences, heads, queries, keys) of each attention.
        """
        ...

    def finish(self, state: State, frozen: bool = False) -> Output:
        """Logits and losses from the state behind the last stage, position by position.

        Those of a position depend on no other position.
        """
        ...

    def finish_losses(self, state: State) -> Tensor:
        """The losses of `finish`, without gradients; not all logits need be in memory."""
        ...

    def out_projection(self, attention: str, layer: int) -> OutProjection:
        """The out projection of one layer."""
        ...

    def head_weights(self, attention: str, layer: int) -> Mapping[str, Tensor]:
        """The matrices "query", "key", "value" and "out" of one layer, without gradients.

        Each is (heads, width of a head, width): rows of the first three, columns of "out".
        """
        ...


def layer_gates(gates: Gates | None, stage: Mapping[str, int]) -> dict[str, Tensor] | None:
    """The gates of one stage's layers.

    Parameters
    ----------
    gates : Gates or None
    stage : mapping of attention name to layer

    Returns
    -------
    dict of attention name to Tensor (heads,) or (sentences, heads), or None
    """
    if gates is None:
        return None
    return {name: gates[name][..., layer, :] for name, layer in stage.items() if name in gates}


def gate_heads(outputs: Tensor, gates: Tensor) -> Tensor:
    """Multiply the outputs of heads by their gates.

    Parameters
    ----------
    outputs : Tensor (sentences, length, width)
        Outputs of all heads, one after the other: the input of the out projection.
    gates : Tensor (heads,) or (sentences, heads)
    """
    factors = gates.to(outputs.dtype).unsqueeze(-2).unsqueeze(-1)
    return (split_heads(outputs, gates.shape[-1]) * factors).flatten(-2)


def split_heads(outputs: Tensor, heads: int) -> Tensor:
    """Cut the last axis (width) into (heads, width of a head)."""
    return outputs.reshape(*outputs.shape[:-1], heads, -1)
