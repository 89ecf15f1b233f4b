"""Where trainings stand, read from state folders made by the real thing."""

import io
import json
import os
import subprocess
import sys
import time

import pytest

from running.ownership import LEASE
from running.status import training_statuses, write_plan
from running.status_table import status_table
from tiny_trainings import ROOT
from training.progress import ProgressLine
from training.state import TrainingState

SCRIPT = ROOT / "scripts" / "show_status.py"
FINGERPRINT = {"model": "clm-en", "total_updates": 10}
# A training that is killed after two saved updates.
DIES = """
import os, sys
from pathlib import Path
from training.state import TrainingState
state = TrainingState(Path(sys.argv[1]), {"total_updates": 100}).__enter__()
state.start_history(0)
state.add_update(1, 5.0, 100)
state.save_history()
state.write_progress({"update": 1, "total": 100, "loss": 5.0})
checkpoints = Path(sys.argv[1]) / "checkpoints"
checkpoints.mkdir()
(checkpoints / "checkpoint_40.pt").touch()
(checkpoints / "checkpoint_9.pt").touch()
os._exit(9)
"""


def state_folder(results, name):
    folder = results / "models" / name / "state"
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder


def die_in(folder):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    subprocess.run([sys.executable, "-B", "-c", DIES, str(folder)], env=environment, check=False)


def write_log(results, name, text):
    path = results / "logs" / "train_model" / f"{name}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def status_of(results, name="clm-en"):
    [found] = [one for one in training_statuses(results) if one.name == name]
    return found


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results" / "demo"
    folder.mkdir(parents=True)
    return folder


def test_planned_trainings_wait_and_others_that_are_there_are_shown_too(results):
    write_plan(results, {"mlm-en": 30, "clm-en": 20})
    (results / "models" / "clm-de").mkdir()
    found = [(one.name, one.state, one.total) for one in training_statuses(results)]
    assert found == [
        ("mlm-en", "waiting", 30), ("clm-en", "waiting", 20), ("clm-de", "waiting", None)
    ]  # fmt: skip


def test_a_running_training_tells_its_progress(results):
    with TrainingState(state_folder(results, "clm-en"), FINGERPRINT) as state:
        found = status_of(results)
        assert (found.state, found.update, found.total) == ("starting", None, 10)
        time.sleep(0.02)  # what is older than owner.json is an earlier try's
        line = ProgressLine("clm-en", total=10, done=0, stream=io.StringIO())
        state.write_progress(line.advance(10, 4.5, 1000))
        found = status_of(results)
        assert (found.state, found.update, found.total, found.loss) == ("running", 10, 10, 4.5)
        assert found.tokens_per_second > 0 and found.seconds_left == 0
        assert found.place.endswith(f", process {os.getpid()}")
        # Nothing was taken: the next save works.
        state.start_history(0)
        state.save_history()
    assert status_of(results).state == "stopped"


def test_another_machine_s_training_lives_as_long_as_it_renews_its_lock(results):
    folder = state_folder(results, "clm-en")
    die_in(folder)
    owner = {"host": "another", "process": 1, "job": "77", "user": "somebody"}
    (folder / "owner.json").write_text(json.dumps(owner))
    lock = folder.with_name("state.lock")
    lock.touch()
    found = status_of(results)
    assert (found.state, found.place) == ("starting", "another, job 77")
    os.utime(lock, (time.time() - 2 * LEASE,) * 2)
    assert status_of(results).state == "stopped"


def test_an_earlier_try_s_progress_is_not_shown_as_the_present_one_s(results):
    folder = state_folder(results, "clm-en")
    die_in(folder)
    with TrainingState(folder, {"total_updates": 100}):
        found = status_of(results)
        assert (found.state, found.update, found.loss) == ("starting", 40, None)


def test_a_killed_training_goes_on_at_its_newest_checkpoint(results):
    die_in(state_folder(results, "clm-en"))
    found = status_of(results)
    assert (found.state, found.update, found.total) == ("stopped", 40, 100)
    write_log(
        results, "clm-en",
        "clm-en: update 50/100\nerror: clm-en was stopped at update 50 of 100 and saved, because "
        "its job ends in 5 s\n",
    )  # fmt: skip
    assert status_of(results).state == "stopped"


def test_a_failed_training_tells_the_last_lines_of_its_error(results):
    die_in(state_folder(results, "clm-en"))
    write_log(results, "clm-en", "clm-en: update 50/100\nerror: update 51: out of memory.\nLower")
    found = status_of(results)
    assert found.state == "failed" and found.update == 40
    assert found.error == ("error: update 51: out of memory.", "Lower")
    shown = status_table([found])
    assert "1 failed" in shown and "clm-en failed:\n  error: update 51: out of memory.\n" in shown
    trace = "\n".join(["Traceback (most recent call last):", *["  frame"] * 50, "ValueError: x"])
    write_log(results, "mlm-en", trace)
    (results / "models" / "mlm-en").mkdir()
    found = status_of(results, "mlm-en")
    assert found.state == "failed" and found.error[-1] == "ValueError: x" and len(found.error) == 6


def test_a_finished_training_tells_its_last_loss(results):
    for name in ("cubes/clm-en.nc", "models/clm-en/checkpoint.pt"):
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        (results / name).touch()
    rows = "".join(f"{n},{6 - n / 100:.4f},512,0.5\n" for n in range(1, 201))
    (results / "models/clm-en/training.csv").write_text(f"update,loss,tokens,seconds\n{rows}")
    found = status_of(results)
    assert (found.state, found.update, found.loss) == ("done", 200, 4.0)
    assert found.tokens_per_second == pytest.approx(1024)


def test_a_job_in_the_queue_is_queued_until_it_begins(results):
    write_plan(results, {"clm-en": 20, "mlm-en": 20})
    log = results.parents[1] / ".snakemake/log/2026-11-21T000000.snakemake.log"
    log.parent.mkdir(parents=True)
    jobs = {name: results.parents[1] / f"slurm_logs/rule_train_model_{name}/7.log"
            for name in ("clm_en", "mlm_en")}  # fmt: skip
    log.write_text(
        "".join(
            f"Job {n} has been submitted with SLURM jobid {70 + n} (log: {path}).\n"
            for n, path in enumerate(jobs.values())
        )
    )
    assert [(one.state, one.place) for one in training_statuses(results)] == [
        ("queued", "job 70"), ("queued", "job 71")
    ]  # fmt: skip
    jobs["clm_en"].parent.mkdir(parents=True)
    jobs["clm_en"].touch()
    assert [one.state for one in training_statuses(results)] == ["waiting", "queued"]


@pytest.mark.parametrize(
    "rubbish", [b"", b"{", b"[]", b"\xff\xfe", b'{"update": "ten", "process": null, "total": NaN}']
)
def test_garbled_files_count_as_absent(rubbish, results):
    write_plan(results, {"clm-en": 20})
    folder = state_folder(results, "clm-en")
    folder.mkdir(parents=True)
    for name in ("owner.json", "progress.json", "fingerprint.json", "history.csv"):
        (folder / name).write_bytes(rubbish)
    write_log(results, "clm-en", "")
    assert (status_of(results).state, status_of(results).total) == ("stopped", 20)
    # Running, but what it says is garbled.
    owner = {"host": os.uname().nodename, "process": os.getpid()}
    (folder / "owner.json").write_text(json.dumps(owner))
    found = status_of(results)
    assert found.state in ("running", "starting") and found.update is None
    (results / "models" / "trainings.json").write_bytes(rubbish)
    assert status_of(results).total is None
    for name in ("cubes/clm-en.nc", "models/clm-en/checkpoint.pt", "models/clm-en/training.csv"):
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        (results / name).write_bytes(rubbish)
    assert status_of(results).state == "done"
    assert "clm-en" in status_table(training_statuses(results))


def test_the_command_shows_every_run_or_says_that_there_is_none(results):
    def show(*arguments):
        command = [sys.executable, "-B", str(SCRIPT), *arguments]
        return subprocess.run(command, cwd=results.parents[1], capture_output=True, text=True)

    none = show()
    assert none.returncode == 1 and none.stderr.startswith(
        "error: results: no training has begun there; give"
    )
    write_plan(results, {"clm-en": 20})
    write_plan(results.with_name("other"), {"mlm-en": 20})
    both = show()
    assert both.returncode == 0, both.stderr
    assert "results/demo\n" in both.stdout and "results/other\n" in both.stdout
    assert "1 waiting" in both.stdout and "mlm-en" not in show("results/demo").stdout
