"""Running the real workflow from a copy of the repository."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from prepared_processes import WORKFLOW, run_prepared

ROOT = Path(__file__).parents[1]
TINY = ROOT / "tests" / "tiny.yaml"
PARTS = ("Snakefile", "config.yaml", "captions", "envs", "presets", "profiles", "rules", "scripts")


def copy_repository(folder):
    """The parts of the repository that a run needs, as a new checkout would have them."""
    ignored = shutil.ignore_patterns("__pycache__")
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / name)
    return folder


def snakemake(folder, *arguments):
    """Run Snakemake in a folder; the finished process with its whole output as text."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # every job would compile its modules again
    return run_prepared(
        [sys.executable, "-m", "snakemake", *arguments],
        WORKFLOW,
        cwd=folder,
        env=environment,
        stderr=subprocess.STDOUT,
    )


def planned_jobs(output):
    """Rules and how many jobs each would run, read from the table of a dry run.

    There is a rule for every training; they are counted together as `train_model`.
    """
    found = {}
    for line in output.splitlines():
        if line.split() == ["job", "count"]:
            found = {}  # a dry run prints its table twice
        match = re.fullmatch(r"(\w+)\s+(\d+)", line.strip())
        if match and match[1] not in ("total", "job"):
            name = "train_model" if match[1].startswith("train_model_") else match[1]
            found[name] = found.get(name, 0) + int(match[2])
    return found


def digests(folder, *patterns):
    """SHA-256 of every file that matches, by its path below the folder."""
    paths = sorted({path for pattern in patterns for path in folder.glob(pattern)})
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
    }
