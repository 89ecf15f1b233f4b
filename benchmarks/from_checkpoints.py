"""Measure time and memory of making a cube from checkpoints, as ratios.

Records a series of random GPT-NeoX checkpoints twice, in a process of its own. Time is divided by
the number of evaluations times one forward and backward pass of the text by the bare model, which
is made after every interval: in seconds of the processor and in turns, since others may use the
machine. Memory is what the process took at most beyond what it had before the model, divided by
the size of the model in float32.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from arguments import command_line

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
sys.modules.setdefault("torchaudio", None)  # not needed here, and slow to import

MOST_TIME, MOST_MEMORY = 1.1, 4.0


def write_series(folder: Path, options: argparse.Namespace) -> None:
    """Write checkpoints, each of which is the one before with a little noise added."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.GPTNeoXConfig(
        vocab_size=8192,
        hidden_size=options.width,
        intermediate_size=4 * options.width,
        num_hidden_layers=options.layers,
        num_attention_heads=8,
        max_position_embeddings=options.context,
    )
    model = transformers.GPTNeoXForCausalLM(config)
    for update in range(options.checkpoints):
        model.save_pretrained(folder / f"step{1000 * update}")
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=2e-3)


def measure(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """Seconds and bytes of recording, and of one pass; to be run in a process of its own."""
    import psutil
    import torch
    import transformers

    from losschange import record_checkpoints
    from losschange.cube.format import open_cube

    torch.set_num_threads(options.threads)
    ids = torch.randint(0, 8192, (options.tokens,), generator=torch.Generator().manual_seed(1))
    process = psutil.Process()
    # Record a series of tiny checkpoints first, so that imports and caches are not measured.
    tiny = argparse.Namespace(**{**vars(options), "width": 16, "layers": 1, "checkpoints": 2})
    write_series(folder / "tiny", tiny)
    record_checkpoints(folder / "tiny", ids[:256], folder / "tiny-out", context=options.context)
    gc.collect()
    before = process.memory_info().rss
    # Make Linux forget the largest size so far.
    Path("/proc/self/clear_refs").write_text("5")
    settings = {"context": options.context, "batch_tokens": options.context, "tolerance": 1e-3}
    # An interval takes as much memory as many.
    pair = [folder / "run" / f"step{1000 * update}" for update in range(2)]
    record_checkpoints(pair, ids, folder / "out", **settings)
    status = Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line) * 1024
    model = transformers.GPTNeoXForCausalLM.from_pretrained(folder / "run" / "step0").eval()
    passes = []

    def one_pass(line: str) -> None:
        start = time.process_time()
        model.zero_grad(set_to_none=False)
        for row in ids.view(-1, options.context):
            model(row[None], labels=row[None], use_cache=False).loss.backward()
        passes.append(time.process_time() - start)

    one_pass("the first is not counted: gradients are made")
    passes.clear()
    start = time.process_time()
    cubes = record_checkpoints(folder / "run", ids, folder / "two", progress=one_pass, **settings)
    seconds = time.process_time() - start - sum(passes)
    with open_cube(cubes["text"]) as found:
        evaluations = int(found["simpson_evaluations"].sum()) + 1
    return {
        "evaluations": evaluations,
        "seconds": seconds,
        "pass": statistics.mean(passes),
        "memory": peak - before,
        "size": 4 * sum(p.numel() for p in model.parameters()),
    }


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--width", type=int, default=512, help="embedding dimension of the model")
    parser.add_argument("--layers", type=int, default=8, help="layers of the model")
    parser.add_argument(
        "--checkpoints", type=int, default=3, help="number of checkpoints in the series"
    )
    parser.add_argument("--context", type=int, default=128, help="tokens of a sequence")
    parser.add_argument("--tokens", type=int, default=1024, help="tokens of the text")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--apart", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.apart:
        print(json.dumps(measure(options.apart, options)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_series(folder / "run", options)
        command = [sys.executable, __file__, *sys.argv[1:], "--apart", str(folder)]
        environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    found = json.loads(done.stdout.splitlines()[-1])
    time_ratio = found["seconds"] / (found["evaluations"] * found["pass"])
    memory_ratio = found["memory"] / found["size"]
    print(
        f"{found['size'] / 4e6:.1f} M parameters, {found['evaluations']} evaluations of "
        f"{options.tokens} tokens, {found['pass']:.2f} s each: "
        f"time {time_ratio:.3f} (goal {MOST_TIME}), memory {memory_ratio:.2f} (goal {MOST_MEMORY})"
    )
    sys.exit(time_ratio > MOST_TIME or memory_ratio > MOST_MEMORY)


if __name__ == "__main__":
    main()
