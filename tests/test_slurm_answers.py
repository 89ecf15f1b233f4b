"""What is read from Slurm's answers; tests/slurm asks a real one."""

import os
import time

import pytest

from running import slurm


@pytest.fixture
def squeue(tmp_path, monkeypatch):
    """Puts a squeue in place that runs a script."""

    def put(script):
        (tmp_path / "squeue").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "squeue").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    monkeypatch.setenv("SLURM_JOB_ID", "5")
    monkeypatch.delenv("SLURM_JOB_END_TIME", raising=False)
    return put


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0:59", 59),
        ("12:00", 720),
        ("23:59:59", 86399),
        ("2-00:00:01", 172801),
        ("UNLIMITED", None),
        ("NOT_SET", None),
        ("", None),
    ],
)
def test_durations(text, seconds):
    assert slurm.parse_duration(text) == seconds


def test_the_time_left_is_asked_for_or_read(squeue, monkeypatch):
    squeue('[ "$*" = "--noheader --jobs=5 --format=%L" ] && echo 1:30')
    assert slurm.seconds_left() == 90
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(time.time()) + 1000))
    assert 900 < slurm.seconds_left() <= 1000
    monkeypatch.delenv("SLURM_JOB_ID")
    assert slurm.seconds_left() is None


def test_a_job_that_is_gone_is_told_from_a_queue_that_does_not_answer(squeue, monkeypatch):
    squeue("echo RUNNING")
    assert slurm.job_state("7") == "RUNNING"
    squeue("echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    assert slurm.job_state("7") == slurm.GONE
    squeue("exit 0")
    assert slurm.job_state("7") == slurm.GONE
    squeue("echo 'Unable to contact slurm controller' >&2; exit 1")
    assert slurm.job_state("7") is None
    monkeypatch.setenv("PATH", "")
    assert slurm.job_state("7") is None


def test_only_jobs_that_snakemake_submitted_from_here_are_found(squeue, tmp_path):
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    lines = [
        f"8\tRUNNING\trule_train_model_wildcards_clm-en\t{here}",
        f"9\tPENDING\tgroup_text\t{here}",
        f"10\tRUNNING\trule_train_model_wildcards_clm-en\t{elsewhere}",
        f"11\tRUNNING\t(null)\t{here}",
    ]
    (tmp_path / "answer").write_text("\n".join(lines) + "\n")
    squeue(f"cat {tmp_path}/answer")
    found = slurm.jobs_of_folder(here)
    assert [job.number for job in found] == ["8", "9"]
    assert str(found[0]) == "job 8 (RUNNING): train_model clm-en"
