"""GPUs are given out one by one, to living processes only. Their list is made up here."""

import os
import signal
import subprocess
import sys

import pytest

from common.files import UserError
from running.devices import VISIBLE, claimed_devices, visible_devices
from tiny_trainings import ROOT

CLAIM = """
import sys, time
from pathlib import Path
from running.devices import claimed_devices
with claimed_devices(int(sys.argv[2]), Path(sys.argv[1])) as devices:
    print(devices, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Two GPUs, as nvidia-smi lists them, and no Slurm; starts processes that claim some."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "nvidia-smi").write_text("#!/bin/sh\necho 0, GPU-aa\necho 1, GPU-bb\n")
    (programs / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv(VISIBLE, raising=False)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "scripts"))
    started = []

    def claim(count):
        process = subprocess.Popen(
            [sys.executable, "-B", "-c", CLAIM, str(tmp_path / "locks"), str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield claim
    for process in started:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            stream.close()


def test_two_processes_get_a_device_each_and_a_third_waits_for_one(machine):
    first, second = machine(1), machine(1)
    got = {process.stdout.readline().strip(): process for process in (first, second)}
    assert set(got) == {"GPU-aa", "GPU-bb"}
    third = machine(1)
    assert "Waiting for 1 free of the GPUs GPU-aa, GPU-bb" in third.stderr.readline()
    got["GPU-bb"].communicate("")  # it ends
    assert third.stdout.readline().strip() == "GPU-bb"


def test_a_killed_process_claims_nothing(machine):
    first = machine(2)
    assert first.stdout.readline().strip() == "GPU-aa,GPU-bb"
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert machine(2).stdout.readline().strip() == "GPU-aa,GPU-bb"


def test_a_waiting_process_holds_no_part_of_what_it_needs(machine):
    first = machine(1)
    assert first.stdout.readline().strip() == "GPU-aa"
    assert "Waiting for 2" in machine(2).stderr.readline()
    assert machine(1).stdout.readline().strip() == "GPU-bb"


def test_only_devices_that_the_user_allows_are_given_out(machine, monkeypatch, tmp_path):
    monkeypatch.setenv(VISIBLE, "3,5")
    assert visible_devices() == ["3", "5"]
    first = machine(1)
    assert first.stdout.readline().strip() == "3"
    with claimed_devices(1, tmp_path / "locks") as devices:
        assert devices == os.environ[VISIBLE] == "5"
    assert os.environ[VISIBLE] == "3,5"
    with (
        pytest.raises(UserError, match="3 GPUs are asked for, but only 3, 5 can be seen"),
        claimed_devices(3, tmp_path / "locks"),
    ):
        pass


@pytest.mark.parametrize("name", ["1", "GPU-bb", "GPU-b"])
def test_a_gpu_is_claimed_under_one_name_however_the_user_calls_it(machine, monkeypatch, name):
    """A run without CUDA_VISIBLE_DEVICES and one with it must not both take the second GPU."""
    first = machine(2)
    assert first.stdout.readline().strip() == "GPU-aa,GPU-bb"
    monkeypatch.setenv(VISIBLE, name)
    assert visible_devices() == ["GPU-bb"]
    second = machine(1)
    assert "Waiting for 1 free of the GPUs GPU-bb" in second.stderr.readline()
    first.communicate("")
    assert second.stdout.readline().strip() == "GPU-bb"


def test_the_devices_of_a_slurm_job_are_taken_as_they_are(machine, monkeypatch, tmp_path):
    assert machine(2).stdout.readline()
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv(VISIBLE, "0")
    with claimed_devices(1, tmp_path / "locks") as devices:
        assert devices == "0"


def test_a_machine_without_gpus_goes_on(monkeypatch, tmp_path):
    monkeypatch.delenv(VISIBLE, raising=False)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with claimed_devices(1, tmp_path / "locks") as devices:
        assert devices is None and VISIBLE not in os.environ
