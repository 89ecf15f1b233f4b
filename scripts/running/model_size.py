"""The size of a model before it is built: parameters, cells of its cube, operations.

Computed from the architecture in the objective's record; a test compares it with built models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from objectives.objective import Architecture

# A forward pass multiplies and adds with every weight, a backward pass twice.
OPERATIONS_PER_WEIGHT = 6


@dataclass(frozen=True)
class ModelSize:
    """The size of a model, computed from its architecture.

    Attributes
    ----------
    parameters : int
        All trainable numbers; tied matrices are counted once.
    cells : int
        Filled cells (layer, component, head) of its cube.
    embedding_matrices : int
        Matrices with a row per word, which a cube can divide by word frequency.
    operations : float
        Floating point operations per target token, forward and backward.
    activations : float
        Numbers stored per target token for the backward pass, logits included.
    """

    parameters: int
    cells: int
    embedding_matrices: int
    operations: float
    activations: float


def model_size(
    architecture: Architecture, training: Mapping[str, Any], vocabulary: int, length: float
) -> ModelSize:
    """Size of a model.

    Parameters
    ----------
    architecture : Architecture
        Architecture of the model's objective for these hyper-parameters.
    training : mapping
        Fields of running.configuration.Training.
    vocabulary : int
        Number of symbols, including SentencePiece's special symbols.
    length : float
        Number of tokens that attend to each other.
    """
    width, inner = training["embedding_dimension"], training["feed_forward_dimension"]
    heads, pre_norm = training["attention_heads"], training["norm"] == "pre"
    stacks = bool(architecture.encoder_layers) + bool(architecture.decoder_layers)
    layers = architecture.encoder_layers + architecture.decoder_layers
    crossed = architecture.decoder_layers if stacks == 2 else 0
    learned, head = len(architecture.positions), architecture.dense_head
    matrices, words = architecture.embedding_matrices, vocabulary + architecture.special_symbols
    attention, norm = 4 * (width * width + width), 2 * width

    parameters = layers * (attention + 2 * width * inner + inner + width + 2 * norm)
    parameters += crossed * (attention + norm)
    parameters += stacks * pre_norm * norm
    parameters += sum((length + 2) * width + norm for length in architecture.positions)
    parameters += head * (width * width + width + norm + words)
    parameters += matrices * words * width

    # Cells of every layer: the matrices of query, key, value and out per head; W1 and W2; biases
    # per head; one cell for the biases of out, W1 and W2; one for the norms. Cross-attention adds
    # cells for its matrices only.
    cells = layers * (4 * heads + 2 + heads + 1 + 1) + crossed * 4 * heads
    # Cells outside the layers: every matrix of words, and the dense layer; learned positions and
    # their norm before the layers; the norm and the bias after the layers.
    cells += max(matrices, 1 + head) + 2 * bool(learned) + (pre_norm or head) + head

    weights = layers * (4 * width * width + 2 * width * inner) + crossed * 4 * width * width
    # Attention scores and weighted sums of values, forward and backward, masked positions included.
    scores = 2 * OPERATIONS_PER_WEIGHT * length * width
    output = architecture.predicted_share * words
    # Korthikanti et al. (2022), 34 bytes of half precision per layer, token and unit of width.
    activations = layers * (17 * width + 2.5 * heads * length)
    activations += crossed * (8 * width + 2.5 * heads * length)
    return ModelSize(
        parameters=parameters,
        cells=cells,
        embedding_matrices=matrices,
        operations=OPERATIONS_PER_WEIGHT * (weights + output * width) + (layers + crossed) * scores,
        activations=activations + 3 * output,
    )
