"""Memory that a training frees is its own when it needs it again."""

import subprocess
import sys

import pytest

from tiny_trainings import ROOT

PROGRAM = """
import resource

import numpy as np

from losschange_fairseq.fast.memory import keep_freed_memory


def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        held = [np.ones(2**17) for _ in range(8)]
        del held
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


pages()
given_back = pages()
if keep_freed_memory():
    pages()
    print(given_back, pages())
"""


def test_what_is_freed_is_not_asked_for_again():
    """In a process of its own, whose memory nothing else has touched."""
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM]
    run = subprocess.run(command, cwd=ROOT / "scripts", capture_output=True, text=True, check=True)
    if not run.stdout:
        pytest.skip("the C library is not glibc")
    given_back, kept = map(int, run.stdout.splitlines()[-1].split())
    # 8 MB and pages of 4 kB: each of the 20 rounds asks for 2,048 of them.
    assert given_back > 20 * 2000
    assert kept < 100
