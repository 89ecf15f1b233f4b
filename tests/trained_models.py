"""Tiny trained models of every objective, and the handles that look into them."""

from __future__ import annotations

import warnings

import torch

from text.vocabulary import SPECIAL_IDS
from training_runs import in_process

# Layers as fairseq has them, and as the fast ones are; post-norm and pre-norm.
VARIANTS = {
    "stock-post": {"fast_layers": False, "norm": "post", "activation": "relu"},
    "fast-pre": {"fast_layers": True, "norm": "pre", "activation": "gelu"},
    # Learned positions and a norm of the embeddings, for all objectives.
    "matched": {"fast_layers": True, "norm": "post", "embedding_layer": "roberta"},
}

# Blocks are longer than the sentences, so that single ones are not cut.
SIZE = {"layers": 4, "total_updates": 5, "warmup_updates": 2, "tokens_per_sample": 64}


def train(folder, objective, tokens, variant="stock-post", **changes):
    """A training of a few updates with its checkpoint.pt in the folder."""
    options = {**SIZE, **VARIANTS[variant]}
    run = in_process(folder / "state", objective, tokens, **{**options, **changes})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run.run(lambda update, numbers: None, lambda: False)
        run.save_model(folder / "checkpoint.pt")
    return run


def is_close(found, expected, tolerance=2e-5):
    """Whether two tensors agree; the message of a failure has their largest difference."""
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def row_of_each_length(handle, mask_seed=3):
    """One batch of valid sentences of several lengths, so that there is padding."""
    batches = handle.sentences("valid", 1000, mask_seed=mask_seed, chosen=range(6))
    (batch,) = batches
    lengths = (batch["net_input"]["src_tokens"] != SPECIAL_IDS["pad_id"]).sum(-1)
    assert len(set(lengths.tolist())) > 1
    return batch
