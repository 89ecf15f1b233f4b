"""benchmarks/throughput.py and batches.py run small on a CPU and fill their tables."""

import re
import subprocess
import sys

import pytest

from tiny_trainings import ROOT

BENCHMARKS = ROOT / "benchmarks"


def run(script, *arguments):
    """What a benchmark prints."""
    done = subprocess.run(
        [sys.executable, "-B", str(BENCHMARKS / script), *arguments], capture_output=True, text=True
    )
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


def test_the_table_goes_between_its_marks(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import throughput

    page = tmp_path / "page.md"
    page.write_text("before\n<!-- measured: start -->\nold\n<!-- measured: end -->\nafter\n")
    throughput.publish(page, throughput.as_table([["x"] * len(throughput.COLUMNS)]))
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert "| x | x |" in text
    page.write_text("no marks")
    with pytest.raises(SystemExit, match="lacks the marks"):
        throughput.publish(page, "table")
    assert page.read_text() == "no marks"
    assert "<!-- measured: end -->" in (ROOT / "docs" / "performance.md").read_text()
