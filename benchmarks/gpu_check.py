"""Check this project on a GPU, in one call of a few minutes: speed, equivalence, a training.

There are four stages in order of importance, each with its own limit. Every result is written to
OUT/results.jsonl at once, and OUT/table.md shows all results after every stage:

card         the card; an update of every objective, its conservation, memory and waiting
speed        tokens per second of stock fairseq and of the faster ways, with and without LCA
equivalence  profiles of the layers in half precision beside those in single precision
paper_size   clm-en, mlm-en and mt-en-de at the paper's size on real text, for the time that is left

    python benchmarks/gpu_check.py --budget 540 --out DIR --tokens results/sample/tokens
    python benchmarks/gpu_check.py --device cpu --scale tiny --budget 240 --out DIR --tokens ...

The second command rehearses the first without a GPU. Called again with the same OUT, the check
continues with the stages that have not ended. `publish_gpu.py OUT` puts the results into the
documentation.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import replace
from pathlib import Path

from arguments import command_line
from gpu.results import ResultLog, ended_stages
from gpu.scales import SCALES
from gpu.stages import LIMITS, Inputs, run_stages
from gpu.supervisor import supervise


def main() -> None:
    """Check the command line, then let the stages run."""
    parser = command_line(__doc__)
    parser.add_argument("--budget", type=float, default=540, help="seconds, start-up included")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="where to run")
    parser.add_argument("--scale", choices=SCALES, default="paper", help="size of the models")
    parser.add_argument("--tokens", type=Path, help="token ids of a run: results/<run>/tokens")
    parser.add_argument("--cache", type=Path, help="compiled code, drawn text; default OUT/cache")
    parser.add_argument(
        "--stages", nargs="+", choices=LIMITS, default=list(LIMITS), help="which stages to run"
    )
    options = parser.parse_args()
    if options.device == "cpu" and options.scale == "paper":
        parser.error("the paper's models take hours on a CPU: --device cpu needs --scale tiny")
    if options.tokens and not any(options.tokens.glob("*-en-de.en-de")):
        parser.error(f"--tokens {options.tokens} has no folder *-en-de.en-de, as a run's has")
    warnings.simplefilter("ignore")
    what = {"scale": options.scale, "device": options.device}
    log = ResultLog(options.out)
    before = next((one for one in log.read() if one["what"] == "call"), None)
    if before and {name: before[name] for name in what} != what:
        sys.exit(f"{options.out} holds results of {before}; give another folder")
    log.add("start", "call", budget=options.budget, **what)
    inputs = Inputs(
        options.out.resolve(),
        (options.cache or options.out / "cache").resolve(),
        options.tokens and options.tokens.resolve(),
    )
    inputs.cache.mkdir(parents=True, exist_ok=True)
    scale = replace(SCALES[options.scale], device=options.device)

    def work(names, whole, allow):
        run_stages(names, scale, whole, options.budget, inputs, allow)

    supervise(options.stages, options.budget, inputs.out, work)
    print((inputs.out / "table.md").read_text(encoding="utf-8"))
    if not ended_stages(log.read()):
        sys.exit("error: no stage could be run")


if __name__ == "__main__":
    main()
