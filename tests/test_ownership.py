"""A folder has one owner at a time, on several machines too: real processes, made-up host names."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from running import ownership
from running.ownership import HeldError, Ownership, read_owner
from tiny_trainings import ROOT

# Seconds: long enough for a busy machine's heartbeat; and one that no test would wait for.
LEASE, NEVER = 3.0, 600.0
HOLD = """
import socket, sys, time
from pathlib import Path
if sys.argv[2]:
    socket.gethostname = lambda: sys.argv[2]
from running import ownership
ownership.LEASE = float(sys.argv[3])
held = ownership.Ownership(Path(sys.argv[1]), "holds it")
held.acquire()
print("held", flush=True)
sys.stdin.readline()
try:
    held.check()
except ownership.HeldError as error:
    print(error, flush=True)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(ownership, "LEASE", LEASE)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    return tmp_path / "state"


@pytest.fixture
def hold(folder):
    """Starts processes that hold the folder, on this machine or as if on another."""
    started = []

    def start(host="", job=None):
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
        process = subprocess.Popen(
            [sys.executable, "-B", "-c", HOLD, str(folder), host, str(ownership.LEASE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment | ({"SLURM_JOB_ID": job} if job else {}),
        )
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


@pytest.fixture
def queue_says(tmp_path, monkeypatch):
    """Puts a squeue in place that gives one answer."""

    def put(script):
        program = tmp_path / "programs" / "squeue"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")

    return put


def test_a_living_process_of_this_machine_is_named_at_once(folder, hold):
    process = hold()
    with pytest.raises(
        HeldError, match=rf"process {process.pid} of .* holds it.*kill {process.pid}"
    ):
        Ownership(folder, "holds it").acquire()


def test_a_killed_process_of_this_machine_is_followed_at_once(folder, hold, monkeypatch):
    monkeypatch.setattr(ownership, "LEASE", NEVER)
    process = hold()
    process.kill()
    process.wait()
    held = Ownership(folder, "holds it")
    held.acquire()
    assert read_owner(folder)["process"] == os.getpid()
    held.release()
    assert not folder.exists() and not folder.with_name("state.lock").exists()


def test_a_process_number_that_is_used_again_holds_nothing(folder, hold, monkeypatch):
    """The holder was killed, and a later process of this machine got its number."""
    monkeypatch.setattr(ownership, "LEASE", NEVER)
    process = hold()
    process.kill()
    process.wait()
    owner = json.loads((folder / "owner.json").read_text())
    assert owner["started"] == pytest.approx(time.time(), abs=600)
    # Long before, because these tests may have started when the holder did.
    again = {"process": os.getpid(), "started": owner["started"] - 3600}
    (folder / "owner.json").write_text(json.dumps({**owner, **again}))
    assert ownership.living_holder(folder) is None
    held = Ownership(folder, "holds it")
    held.acquire()
    held.release()


def test_a_job_in_the_queue_is_named_at_once(folder, hold, queue_says, monkeypatch):
    monkeypatch.setattr(ownership, "LEASE", NEVER)
    queue_says("echo RUNNING")
    hold("elsewhere", job="77")
    expected = r"on elsewhere, Slurm job 77 \(RUNNING\) holds it.*scancel 77"
    with pytest.raises(HeldError, match=expected):
        Ownership(folder, "holds it").acquire()


def test_a_job_that_left_the_queue_is_followed_when_it_shows_no_life(folder, hold, queue_says):
    queue_says("echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    process = hold("elsewhere", job="77")
    # Slurm may have lost sight of a machine whose processes still run.
    with pytest.raises(HeldError, match="Slurm job 77"):
        Ownership(folder, "holds it").acquire()
    process.kill()
    process.wait()
    held = Ownership(folder, "holds it")
    held.acquire()
    held.release()


def test_who_seemed_dead_and_comes_back_writes_nothing(folder, hold):
    process = hold("elsewhere")
    process.send_signal(signal.SIGSTOP)
    held = Ownership(folder, "holds it")
    held.acquire()
    process.send_signal(signal.SIGCONT)
    process.stdin.write("\n")
    process.stdin.flush()
    assert f"process {os.getpid()} of " in (said := process.stdout.readline())
    assert "took over" in said and "Nothing more was written" in said
    process.wait()
    held.check()
    held.release()


def test_a_process_that_ended_unasked_for_runs_no_more():
    """A killed training stays in the table of processes until its parent asks how it ended."""
    process = subprocess.Popen(["sleep", "60"])
    owner = {"process": process.pid, "started": ownership.start_time(process.pid)}
    assert ownership.runs_here(owner)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, and still in the table
    assert not ownership.runs_here(owner)
    process.wait()
