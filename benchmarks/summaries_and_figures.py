"""Time and memory from cubes of paper size to all figures, cold, on two cores.

Makes synthetic cubes in a temporary folder (not counted), summarises them two at a time in
processes of their own, draws the six figures one after the other, and compares with the limits.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from arguments import command_line
from limits import within_limits

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "scripts"
sys.path[:0] = [str(SCRIPTS), str(ROOT / "tests")]

MODELS = [
    "clm-en",
    "mlm-en",
    "mt-en-de",
    "clm-de",
    "clm-fi",
    "clm-et",
    "mlm-de",
    "mlm-fi",
    "mlm-et",
    "mt-en-fi",
    "mt-en-et",
    "mt-de-en",
    "mt-fi-en",
    "mt-et-en",
    "mt-en-de-wmt",
]
MAIN, MASKED = MODELS[:3], "mlm-en"
WORKERS = 2
MOST_SECONDS = 600
MOST_GIGABYTES = 1.5
MOST_SECONDS_PER_FIGURE = 10


def run(script: str, *arguments: str | Path) -> float:
    """Run a script of this repository and return its seconds."""
    start = time.perf_counter()
    subprocess.run([sys.executable, SCRIPTS / script, *map(str, arguments)], check=True)
    return time.perf_counter() - start


def make_cubes(folder: Path, models: Sequence[str], steps: int) -> None:
    """Write one synthetic cube per model: 12 layers, 8 heads."""
    from synthetic_cubes import write_cube

    for seed, model in enumerate(models):
        write_cube(folder / f"{model}.nc", model, steps, seed=seed)
        size = (folder / f"{model}.nc").stat().st_size / 2**20
        print(f"made {model}: {size:.0f} MiB", flush=True)


def summarise(folder: Path, models: Sequence[str]) -> float:
    """Summarise all cubes, WORKERS at a time; seconds of wall time."""
    start = time.perf_counter()
    with ThreadPoolExecutor(WORKERS) as pool:
        jobs = [
            pool.submit(
                run,
                "summarise_cube.py",
                *("--cube", folder / f"{model}.nc"),
                *("--output", folder / "summaries" / f"{model}.nc"),
            )
            for model in models
        ]
        for model, job in zip(models, jobs, strict=True):
            print(f"summarised {model}: {job.result():.1f} s", flush=True)
    return time.perf_counter() - start


def draw(folder: Path, models: Sequence[str]) -> list[float]:
    """Draw the six figures; seconds of each."""
    paths = {model: folder / "summaries" / f"{model}.nc" for model in models}
    others = [model for model in models if model not in MAIN]
    shown = {1: MAIN, 2: MAIN, 3: MAIN, 4: [MASKED], 5: models, 6: others}
    seconds = []
    for number, names in shown.items():
        of_figure = ["--study", "vazquez2022", "--number", str(number)]
        inputs = {"summaries": [str(paths[model]) for model in names if model in paths]}
        options = {"estimator": "batch"}
        texts = ["--inputs", json.dumps(inputs), "--options", json.dumps(options)]
        stem = ["--output-stem", folder / "figures" / f"figure{number}"]
        seconds.append(run("make_figure.py", *of_figure, *texts, *stem))
        print(f"figure {number}: {seconds[-1]:.1f} s", flush=True)
    return seconds


def main() -> int:
    """Measure, print, and return 0 if all limits are kept."""
    parser = command_line(__doc__)
    parser.add_argument("--cubes", type=int, default=len(MODELS), help="number of models")
    parser.add_argument("--steps", type=int, default=125_000, help="updates per model")
    options = parser.parse_args()
    models = MODELS[: options.cubes]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_cubes(folder, models, options.steps)
        summary_seconds = summarise(folder, models)
        figure_seconds = draw(folder, models)
    # ru_maxrss is the largest single child, in KiB on Linux; two run at the same time
    gigabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * WORKERS / 2**20
    kept = within_limits(
        (
            ("summaries and figures", summary_seconds + sum(figure_seconds), MOST_SECONDS, "s"),
            ("slowest figure", max(figure_seconds), MOST_SECONDS_PER_FIGURE, "s"),
            (f"peak memory of {WORKERS} processes", gigabytes, MOST_GIGABYTES, "GiB"),
        )
    )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
