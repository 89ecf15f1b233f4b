"""Ablation of every head against the naive loop, and the memory that measuring and pruning take.

Both run in a translation model of Hugging Face with random weights. The loop runs the whole model
once for every head; `ablate` runs the layers from the head's own upwards, and the output projection
only where there is a target. Memory is the peak of the process above what it holds with the model
loaded.
"""

from __future__ import annotations

import os

# Before numpy is imported: its libraries read the number of threads once.
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from arguments import command_line
from limits import within_limits

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

# transformers imports torchaudio if it is installed; it is not needed here.
sys.modules.setdefault("torchaudio", None)  # type: ignore[arg-type]
os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}

from transformers import MarianConfig, MarianMTModel  # noqa: E402

from attention_heads.ablation import ablate, ablation_cost  # noqa: E402
from attention_heads.alpha_beta import alpha_beta_relevance  # noqa: E402
from attention_heads.gates import train_gates  # noqa: E402
from attention_heads.huggingface import handle_of  # noqa: E402
from attention_heads.importance import importance  # noqa: E402
from attention_heads.passes import mean_loss, open_gates  # noqa: E402
from attention_heads.relevance import relevance  # noqa: E402

LEAST_SPEED_UP = 2.0
# Largest memory in multiples of the weights. Pruning trains them: it needs weights, gradients and
# two moments of Adam, and a tenth for memory that the allocator keeps.
MOST_MEASURES, MOST_PRUNING = 2.0, 4.1


def make_model(width: int, layers: int, heads: int, words: int) -> MarianMTModel:
    """A translation model with random weights, as the paper's where the width is 512."""
    torch.manual_seed(0)
    shape = {
        f"{side}_{name}": value
        for side in ("encoder", "decoder")
        for name, value in (("layers", layers), ("attention_heads", heads), ("ffn_dim", 4 * width))
    }
    ids = {"pad_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 0}
    config = MarianConfig(
        vocab_size=words, d_model=width, max_position_embeddings=64, **shape, **ids
    )
    model = MarianMTModel(config)
    model.set_attn_implementation("eager")
    return model.eval()


def make_batch(sentences: int, length: int, words: int) -> dict[str, torch.Tensor]:
    """Random sentence pairs; lengths are spread as in parliament debates, 27 tokens on average."""
    random = np.random.default_rng(1)
    lengths = np.clip(random.gamma(2.7, 10.0, (2, sentences, 1)), 4, length).astype(int)
    lengths[:, 0] = lengths.max()
    present = torch.from_numpy(np.arange(lengths.max()) < lengths)
    ids = torch.from_numpy(random.integers(3, words, present.shape)).where(present, 0)
    return {
        "input_ids": ids[0],
        "attention_mask": present[0].long(),
        "labels": ids[1].where(present[1], -100),
    }


def naive(handle, batch) -> None:
    """Close one head after the other in whole passes."""
    mean_loss(handle, [batch])
    for name, about in handle.attentions.items():
        for layer in range(about.layers):
            for head in range(about.heads):
                gates = open_gates(handle)
                gates[name][layer, head] = 0.0
                mean_loss(handle, [batch], gates)


def seconds_of(run: Callable[[], object]) -> float:
    """Processor time of one run."""
    start = time.process_time()
    run()
    return time.process_time() - start


def peak() -> float:
    """Largest memory of the process so far, MiB; ru_maxrss is in KiB on Linux."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> int:
    """Measure, print, and return 0 if all limits are kept."""
    parser = command_line(__doc__)
    parser.add_argument("--width", type=int, default=512, help="embedding dimension of the model")
    parser.add_argument(
        "--layers", type=int, default=6, help="layers of the encoder, and of the decoder"
    )
    parser.add_argument("--heads", type=int, default=8, help="attention heads of a layer")
    parser.add_argument("--words", type=int, default=32_000, help="symbols of the vocabulary")
    parser.add_argument("--sentences", type=int, default=6, help="sentences of the text")
    parser.add_argument("--length", type=int, default=48, help="tokens of a sentence")
    parser.add_argument("--copies", type=int, default=1, help="heads closed in one pass")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = make_model(options.width, options.layers, options.heads, options.words)
    handle = handle_of(model)
    size = sum(each.numel() * each.element_size() for each in model.parameters()) / 2**20
    batch = make_batch(options.sentences, options.length, options.words)
    share = (batch["labels"] >= 0).float().mean().item()
    loaded = peak()
    # A forward and a backward pass through all layers, without the gradients of the weights.
    torch.autograd.grad(model(**batch).loss, model.model.encoder.layers[0].fc1.bias)
    one = peak() - loaded
    importance(handle, [batch])
    relevance(handle, [batch], seed=1)
    alpha_beta_relevance(handle, [batch], seed=1)
    fast = seconds_of(lambda: ablate(handle, [batch], options.copies))
    measuring = peak() - loaded
    slow = seconds_of(lambda: naive(handle, batch))
    train_gates(
        handle, [batch], 1e-3, 2, 1, parameters=model.parameters(), model_learning_rate=1e-5
    )
    pruning = peak() - loaded
    cost = ablation_cost(handle)
    print(f"{len(batch['labels'])} sentence pairs, {share:.0%} of the positions have a target")
    print(f"{cost.heads} heads: {slow:.1f} s in whole passes, {fast:.1f} s resumed")
    print(f"layers run: {cost.naive:,} and {cost.resumed:,}, {cost.naive / cost.resumed:.2f} times")
    print(f"speed-up {slow / fast:.2f} (at least {LEAST_SPEED_UP})")
    print(f"model {size:.0f} MiB; batch {one:.0f}, measures {measuring:.0f}, pruning {pruning:.0f}")
    limits = [
        ("ablation over the naive loop", LEAST_SPEED_UP / (slow / fast), 1.0, "of the limit"),
        ("measures, without one batch", (size + measuring - one) / size, MOST_MEASURES, "models"),
        ("pruning, without one batch", (size + pruning - one) / size, MOST_PRUNING, "models"),
    ]
    return 0 if within_limits(limits) else 1


if __name__ == "__main__":
    sys.exit(main())
