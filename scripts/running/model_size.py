"""How large a model is before it is built: parameters, cells of its cube, arithmetic.

Counted from what its objective says of its architecture; a test builds the models and compares.
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
    """What a model's architecture amounts to.

    Attributes
    ----------
    parameters : int
        All trainable numbers, tied matrices once.
    cells : int
        Filled cells (layer, component, head) of its cube.
    embedding_matrices : int
        Matrices with a row per word: those that a cube divides by the frequency of words.
    operations : float
        Floating point operations per target token, forward and backward.
    activations : float
        Numbers kept per target token between forward and backward, logits included.
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
        Of the model's objective, for these settings.
    training : mapping
        Fields of running.configuration.Training.
    vocabulary : int
        Words, those of SentencePiece included that stand for no text.
    length : float
        Tokens that attend to each other.
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

    # In every layer: four matrices by head and their biases by head; out's bias and those of W1
    # and W2 together; the norms. Cross-attention has matrices of its own.
    cells = layers * (4 * heads + 2 + heads + 1 + 1) + crossed * 4 * heads
    # The embedding, learned positions and their norm; after the layers norm, matrix and bias.
    cells += 1 + 2 * bool(learned) + (pre_norm or head) + (matrices > 1 or head) + head

    weights = layers * (4 * width * width + 2 * width * inner) + crossed * 4 * width * width
    # Scores, and values weighted by them, forward and backward; fairseq computes masked ones too.
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
