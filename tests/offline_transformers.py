"""Hugging Face's transformers for tests: offline, and skipped where it is not installed."""

from __future__ import annotations

import os
import sys

import pytest

WORDS, LENGTH, WIDTH, HEADS = 13, 6, 8, 2


def import_transformers():
    """The package, with nothing downloaded and without torchaudio.

    transformers imports torchaudio wherever it is installed. Nothing here hears anything, and a
    torchaudio for CUDA beside a PyTorch for CPUs cannot be loaded at all.
    """
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    sys.modules.setdefault("torchaudio", None)
    return pytest.importorskip("transformers")


def make_gpt2(layers: int = 1, tied: bool = True, bare: bool = False, dropout: float = 0.0):
    """A small GPT-2 with random weights."""
    transformers = import_transformers()
    config = transformers.GPT2Config(
        vocab_size=WORDS, n_positions=LENGTH, n_embd=WIDTH, n_layer=layers, n_head=HEADS,
        tie_word_embeddings=tied, bos_token_id=0, eos_token_id=0,
        resid_pdrop=dropout, embd_pdrop=dropout, attn_pdrop=dropout,
    )  # fmt: skip
    return (transformers.GPT2Model if bare else transformers.GPT2LMHeadModel)(config)
