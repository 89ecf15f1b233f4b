"""Ablation of every head against the naive loop, and the memory that measuring and pruning take.

Both run in a translation model of Hugging Face with random weights. The loop runs the whole model
once for every head; `ablate` runs the layers from the head's own upwards, several heads of a layer
in one pass, and the output projection only where there is a target.

Memory is the most that the process holds while one measure runs, above what it holds with the model
loaded, plus the weights. A forward and a backward pass of the batch without gradients of the
weights is subtracted as "one batch". Linux only.
"""

from __future__ import annotations

import os

# Before numpy is imported: its libraries read the number of threads once.
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import ctypes
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
from attention_heads.confidence import confidence  # noqa: E402
from attention_heads.gates import train_gates  # noqa: E402
from attention_heads.huggingface import handle_of  # noqa: E402
from attention_heads.importance import importance  # noqa: E402
from attention_heads.passes import mean_loss, open_gates  # noqa: E402
from attention_heads.relevance import relevance  # noqa: E402

LEAST_SPEED_UP = 2.0
# In multiples of the weights. Pruning trains them: three times the weights for these and the two
# moments of Adam, and at the end of a backward pass the gradients of the embeddings, which encoder,
# decoder and output use: a quarter of the weights each. It is less than weights, all gradients and
# moments together.
MOST_MEASURES, MOST_PRUNING = 2.0, 4.0
MEASURES = ("confidence", "importance", "relevance", "alpha-beta rule", "ablation")


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


def make_batch(sentences: int, shortest: int, longest: int, words: int) -> dict[str, torch.Tensor]:
    """Random sentence pairs; lengths are spread as in parliament debates, 27 tokens on average."""
    random = np.random.default_rng(1)
    lengths = np.clip(random.gamma(2.7, 10.0, (2, sentences, 1)), shortest, longest).astype(int)
    lengths[:, 0] = lengths.max()
    present = torch.from_numpy(np.arange(lengths.max()) < lengths)
    ids = torch.from_numpy(random.integers(3, words, present.shape)).where(present, 0)
    return {
        "input_ids": ids[0],
        "attention_mask": present[0].long(),
        "labels": ids[1].where(present[1], -100),
    }


def naive(handle, batches) -> None:
    """Close one head after the other in whole passes."""
    mean_loss(handle, batches)
    for name, about in handle.attentions.items():
        for layer in range(about.layers):
            for head in range(about.heads):
                gates = open_gates(handle)
                gates[name][layer, head] = 0.0
                mean_loss(handle, batches, gates)


def status(name: str) -> float:
    """Memory of the process, MiB: VmRSS is what it holds, VmHWM the most it held."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    kib: int = next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
    return kib / 1024


def most_held(run: Callable[[], object]) -> float:
    """The most that the process holds during a run, MiB."""
    ctypes.CDLL(None).malloc_trim(0)  # what runs before left in gaps does not count
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # VmHWM becomes VmRSS
    run()
    return status("VmHWM")


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
    parser.add_argument(
        "--shortest", type=int, default=4, help="tokens of the shortest; 48: without padding"
    )
    parser.add_argument("--longest", type=int, default=48, help="tokens of the longest")
    parser.add_argument("--copies", type=int, default=8, help="heads closed in one pass")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = make_model(options.width, options.layers, options.heads, options.words)
    handle = handle_of(model)
    size = sum(each.numel() * each.element_size() for each in model.parameters()) / 2**20
    batch = make_batch(options.sentences, options.shortest, options.longest, options.words)
    share = (batch["labels"] >= 0).float().mean().item()
    bias = model.model.encoder.layers[0].fc1.bias
    seconds = {}

    def timed(function: Callable, *arguments: object) -> None:
        start = time.process_time()
        function(handle, [batch], *arguments)
        seconds[function] = time.process_time() - start

    loaded = most_held(lambda: None)
    runs: dict[str, Callable[[], object]] = {
        "one batch": lambda: torch.autograd.grad(model(**batch).loss, bias),
        "confidence": lambda: confidence(handle, [batch]),
        "importance": lambda: importance(handle, [batch]),
        "relevance": lambda: relevance(handle, [batch], seed=1),
        "alpha-beta rule": lambda: alpha_beta_relevance(handle, [batch], seed=1),
        "ablation": lambda: timed(ablate, options.copies),
        "naive loop": lambda: timed(naive),
        "pruning": lambda: train_gates(
            handle, [batch], 1e-3, 3, 1, parameters=model.parameters(), model_learning_rate=1e-5
        ),
    }
    above = {name: most_held(run) - loaded for name, run in runs.items()}
    speed_up = seconds[naive] / seconds[ablate]
    cost = ablation_cost(handle)
    print(f"{len(batch['labels'])} sentence pairs, {share:.0%} of the positions have a target")
    print(f"{cost.heads} heads: {seconds[naive]:.1f} s in whole passes, {seconds[ablate]:.1f} s")
    print(f"layers run: {cost.naive:,} and {cost.resumed:,}, {cost.naive / cost.resumed:.2f} times")
    print(f"speed-up {speed_up:.2f} (at least {LEAST_SPEED_UP})")
    print(f"model {size:.0f} MiB; above it {', '.join(f'{n} {m:.0f}' for n, m in above.items())}")
    ratios = {name: (size + each - above["one batch"]) / size for name, each in above.items()}
    measures = max(ratios[name] for name in MEASURES)
    limits = [
        ("ablation over the naive loop", LEAST_SPEED_UP / speed_up, 1.0, "of the limit"),
        ("measures, without one batch", measures, MOST_MEASURES, "models"),
        ("pruning, without one batch", ratios["pruning"], MOST_PRUNING, "models"),
    ]
    return 0 if within_limits(limits) else 1


if __name__ == "__main__":
    sys.exit(main())
