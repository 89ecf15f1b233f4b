"""Measure the cost of recording `batch` in a plain loop: GPT-2 of 10 million parameters on a CPU.

Two trainings of the same model make the same updates in one process, update by update in turns, so
that other load of the machine affects both. One has a recorder attached. Prints the median over all
pairs of the ratio of their times, with its goal.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from arguments import command_line

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
sys.modules.setdefault("torchaudio", None)  # not needed here, and slow to import
os.environ.setdefault("HF_HUB_OFFLINE", "1")

MOST = 1.03


class Training:
    """A model, its optimizer, and batches drawn by the number of the update."""

    def __init__(self, options: argparse.Namespace, folder: Path | None):
        import torch
        import transformers

        from losschange import attach

        config = transformers.GPT2Config(
            vocab_size=options.vocabulary,
            n_embd=options.width,
            n_layer=options.layers,
            n_head=8,
            n_positions=options.context,
            bos_token_id=0,
            eos_token_id=0,
        )
        torch.manual_seed(0)
        self.model = transformers.GPT2LMHeadModel(config)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4)
        self.shape = options.sentences, options.context
        self.recorder = None if folder is None else attach(self.model, self.optimizer, None, folder)

    def step(self, update: int) -> float:
        """Seconds of one update."""
        import torch

        generator = torch.Generator().manual_seed(update)
        words = torch.randint(0, self.model.config.vocab_size, self.shape, generator=generator)
        start = time.perf_counter()
        loss = self.model(input_ids=words, labels=words, use_cache=False).loss
        self.optimizer.zero_grad()
        loss.backward()
        if self.recorder is not None:
            self.recorder.describe(loss=loss, tokens=words.numel())
        self.optimizer.step()
        return time.perf_counter() - start


def measure(options: argparse.Namespace, folder: Path) -> tuple[list[float], list[float], int]:
    """Seconds per update without and with the recorder, and the number of parameters."""
    plain, recorded = Training(options, None), Training(options, folder / "parts")
    seconds: dict[Training, list[float]] = {plain: [], recorded: []}
    for update in range(1, options.updates + 1):
        # Neither of the two is always the first.
        for training in (plain, recorded)[:: 1 if update % 2 else -1]:
            seconds[training].append(training.step(update))
    warm = options.warm_up
    return (
        seconds[plain][warm:],
        seconds[recorded][warm:],
        sum(parameter.numel() for parameter in plain.model.parameters()),
    )


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--width", type=int, default=256, help="embedding dimension of the model")
    parser.add_argument("--layers", type=int, default=10, help="layers of the model")
    parser.add_argument("--vocabulary", type=int, default=8192, help="symbols of the vocabulary")
    parser.add_argument("--context", type=int, default=128, help="tokens of a sequence")
    parser.add_argument("--sentences", type=int, default=8, help="sentences of the text")
    parser.add_argument("--updates", type=int, default=60, help="updates to measure")
    parser.add_argument("--warm-up", type=int, default=4, help="first updates that do not count")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    options = parser.parse_args()
    import torch

    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        without, recorded, parameters = measure(options, Path(folder))
    pairs = sorted(b / a for a, b in zip(without, recorded, strict=True))
    middle = statistics.median(pairs)
    quarter = len(pairs) // 4
    print(
        f"{parameters / 1e6:.1f} M parameters, {options.sentences * options.context} tokens per "
        f"update: {statistics.median(without) * 1e3:.1f} ms without, "
        f"{statistics.median(recorded) * 1e3:.1f} ms with; ratio median {middle:.3f} over "
        f"{len(pairs)} pairs (middle half {pairs[quarter]:.3f} to {pairs[-quarter - 1]:.3f}), "
        f"goal {MOST}"
    )
    sys.exit(middle > MOST)


if __name__ == "__main__":
    main()
