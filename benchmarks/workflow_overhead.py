"""Measure the overhead of the workflow: cores times the time of a run, over the jobs' own seconds.

    python benchmarks/workflow_overhead.py [--preset demo] [--cores 2] [TARGET ...]

Runs a preset in a new folder. A job's own time is that from its start to its last output, as
Snakemake records it; the rest is choosing, starting and waiting. It includes the time before the
first job, in which Snakemake reads the rules and which is also printed separately.
"""

import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from arguments import command_line
from limits import within_limits

ROOT = Path(__file__).parents[1]
PARTS = ("Snakefile", "config.yaml", "captions", "envs", "presets", "profiles", "rules", "scripts")
MOST = 1.10


def jobs_of(folder: Path) -> list[tuple[str, float, float]]:
    """Rule, start and end of every job that Snakemake remembers, in seconds since 1970."""
    found: dict[tuple, tuple[float, float]] = {}
    for path in (folder / ".snakemake" / "metadata").rglob("*"):
        if path.is_file():
            # One record for each output of a job.
            record = json.loads(path.read_text())
            job = (record["rule"], record["shellcmd"], *(record["log"] or ()))
            start, end = found.get(job, (math.inf, 0.0))
            found[job] = min(start, record["starttime"]), max(end, record["endtime"])
    return [(job[0], *times) for job, times in found.items()]


def main() -> None:
    """Measure, print, and fail above the limit."""
    parser = command_line(__doc__)
    parser.add_argument("--preset", default="demo", help="demo, sample or paper: which run")
    parser.add_argument("--cores", type=int, default=2, help="CPU cores that Snakemake may use")
    parser.add_argument(
        "targets", nargs="*", help="files or rules to make; without any, all of the run"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in PARTS:
            source = ROOT / part
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / part)
        command = [sys.executable, "-m", "snakemake", *options.targets, "--quiet", "all"]
        command += ["--configfile", f"presets/{options.preset}.yaml"]
        before = time.time()
        subprocess.run([*command, "--cores", str(options.cores)], cwd=folder, check=True)
        whole = time.time() - before
        jobs = jobs_of(folder)
    own = sum(end - start for _, start, end in jobs)
    first = min(start for _, start, _ in jobs) - before
    rules: dict[str, list[float]] = {}
    for rule, start, end in jobs:
        rules.setdefault(rule, []).append(end - start)
    for rule, seconds in sorted(rules.items(), key=lambda one: -sum(one[1])):
        print(f"{sum(seconds):8.1f} s  {len(seconds):4d} x {rule}")
    print(f"{whole:.1f} s on {options.cores} slots, {first:.1f} s of them before the first job")
    ratio = ("workflow over its jobs' own time", options.cores * whole / own, MOST, "x")
    sys.exit(not within_limits((ratio,)))


if __name__ == "__main__":
    main()
