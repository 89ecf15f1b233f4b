"""benchmarks/throughput.py and batches.py run small and fill their tables."""

import re
import sys

import pytest

from prepared_processes import run_prepared
from tiny_trainings import ROOT

BENCHMARKS = ROOT / "benchmarks"


def run(script, *arguments):
    """What a benchmark prints."""
    done = run_prepared([sys.executable, "-B", str(BENCHMARKS / script), *arguments])
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_stock_and_fast_stand_side_by_side():
    printed = run(
        "throughput.py",
        *("--objectives", "mt", "--ways", "stock", "fast", "--recordings", "off", "batch"),
        *("--set", "layers=2", "--turns", "1", "--length", "1", "--sentences", "400"),
        *("--peak", "1"),
    )
    rows = [line.split(" | ") for line in printed.splitlines() if line.startswith("| mt")]
    assert [(row[1], row[2]) for row in rows] == [
        ("stock", "off"), ("stock", "batch"), ("fast", "off"), ("fast", "batch"),
    ]  # fmt: skip
    assert rows[0][6] == "1.00" and all(float(row[4]) > 0 for row in rows)


@pytest.mark.slow
def test_what_an_update_is_made_of():
    printed = run("batches.py", "--objectives", "mt", "--updates", "1", "--sentences", "6000")
    shares = [float(share) for share in re.findall(r"([\d.]+)% padding", printed)]
    # stock 16 and 1, then joined 8, 4, 2, 1: fewer passes, more padding
    assert len(shares) == 6 and shares[0] < shares[2] < shares[3] < shares[4] < shares[5]
