"""How large a model of the paper is before it is built: parameters, cells of its cube, arithmetic.

Counted by hand from fairseq's architectures; a test builds them and compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# A forward pass multiplies and adds with every weight, a backward pass twice.
OPERATIONS_PER_WEIGHT = 6
# Longest sentence of fairseq's translation task, where positions are learned.
TRANSLATION_POSITIONS = 1024


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
    objective: str, training: Mapping[str, object], vocabulary: int, length: float
) -> ModelSize:
    """Size of a model.

    Parameters
    ----------
    objective : {"clm", "mlm", "mt"}
    training : mapping
        Fields of running.configuration.Training.
    vocabulary : int
        Words, special ones included.
    length : float
        Tokens of a sample, or of a sentence for "mt".
    """
    width, inner = training["embedding_dimension"], training["feed_forward_dimension"]
    layers, heads = training["layers"], training["attention_heads"]
    tied, pre_norm = training["tied_embeddings"], training["norm"] == "pre"
    attention, norm = 4 * (width * width + width), 2 * width
    # Scores, and values weighted by them, forward and backward; fairseq computes masked ones too.
    scores = 2 * OPERATIONS_PER_WEIGHT * length * width

    layer = attention + 2 * width * inner + inner + width + 2 * norm
    parameters = layers * layer
    # Four matrices by head and their biases by head; out's bias and those of W1 and W2; the norms.
    cells = layers * (4 * heads + 2 + heads + 1 + 1)
    weights = layers * (4 * width * width + 2 * width * inner)
    blocks = layers
    # Korthikanti et al. (2022), 34 bytes of half precision per layer, token and unit of width.
    activations = layers * (17 * width + 2.5 * heads * length)
    output_share = 1.0

    # Learned positions, with two before the first, and a norm of the vectors.
    learned = training["embedding_layer"] == "roberta" and objective != "mlm"
    cells += 2 * learned

    if objective == "clm":
        matrices = 1 if tied else 2
        cells += 1 + (not tied) + pre_norm
        parameters += pre_norm * norm
        parameters += learned * ((training["tokens_per_sample"] + 2) * width + norm)
    elif objective == "mlm":
        # One more symbol, the mask; positions; norms of embeddings and head; the head's layer.
        vocabulary += 1
        matrices = 1 if tied else 2
        cells += 6
        parameters += (training["tokens_per_sample"] + 2) * width + 2 * norm + pre_norm * norm
        parameters += width * width + width + vocabulary
        output_share = training["mask_probability"]
    else:
        decoder = layers // 2
        matrices = 1 if tied else 3
        cells += decoder * 4 * heads + 1 + (not tied) + pre_norm
        parameters += decoder * (attention + norm) + 2 * pre_norm * norm
        parameters += learned * 2 * ((TRANSLATION_POSITIONS + 2) * width + norm)
        weights += decoder * 4 * width * width
        blocks += decoder
        activations += decoder * (8 * width + 2.5 * heads * length)

    parameters += matrices * vocabulary * width
    output = output_share * vocabulary
    return ModelSize(
        parameters=parameters,
        cells=cells,
        embedding_matrices=matrices,
        operations=OPERATIONS_PER_WEIGHT * (weights + output * width) + blocks * scores,
        activations=activations + 3 * output,
    )
