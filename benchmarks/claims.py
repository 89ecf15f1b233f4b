"""Time and memory to judge all claims: 15 models, three estimators, three trainings of each.

Makes the summaries from synthetic cubes of the paper's layers and heads (not counted). A summary
has the same size for any number of updates, so a tenth of the paper's is enough here. The three
trainings of a model are the same file, which is nevertheless read and resampled three times.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from arguments import command_line
from limits import within_limits
from summaries_and_figures import MAIN, MODELS, SCRIPTS, run

ESTIMATORS = {"fresh": 10, "probe": 10}  # beside batch
REPLICATES = 3
MOST_SECONDS = 180
MOST_GIGABYTES = 1.5


def make_summaries(folder: Path, models: Sequence[str], steps: int) -> None:
    """Write one summary per model: 12 layers, 8 heads."""
    from synthetic_cubes import write_cube

    for seed, model in enumerate(models):
        cube = folder / "cube.nc"
        write_cube(cube, model, steps, estimators=ESTIMATORS, seed=seed)
        seconds = run("summarise_cube.py", "--cube", cube, "--output", folder / f"{model}.nc")
        print(f"made {model}: summarised in {seconds:.1f} s", flush=True)


def judge(folder: Path, models: Sequence[str]) -> tuple[float, float]:
    """Judge all claims in a process of its own; seconds, and gigabytes of memory at most."""
    summaries = [folder / f"{model}.nc" for model in models for _ in range(REPLICATES)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    start = time.perf_counter()
    command = [sys.executable, SCRIPTS / "judge_claims.py", "--summaries", *summaries]
    subprocess.run([*command, "--main", *MAIN, "--output-stem", folder / "claims"], check=True)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    if after == before:
        print("the summaries took more memory than the claims; what follows is theirs")
    return seconds, after / 2**20


def main() -> int:
    """Measure, print, and return 0 if all limits are kept."""
    parser = command_line(__doc__)
    parser.add_argument("--models", type=int, default=len(MODELS), help="number of models")
    parser.add_argument("--steps", type=int, default=12_500, help="updates per cube")
    options = parser.parse_args()
    models = MODELS[: options.models]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_summaries(folder, models, options.steps)
        seconds, gigabytes = judge(folder, models)
    kept = within_limits(
        (
            ("all claims", seconds, MOST_SECONDS, "s"),
            ("peak memory", gigabytes, MOST_GIGABYTES, "GiB"),
        )
    )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
