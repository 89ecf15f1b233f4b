"""Runs through a real Slurm, disturbed in every way, end in the cubes of an undisturbed local run.

In every case: the same bytes, every update once, and no process left behind (the fixture `queue`
looks for those).
"""

import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import warnings
from contextlib import suppress
from datetime import datetime

import pytest
import xarray as xr
from cluster import LONG, TARGETS, ask, jobs, owner_of, progress_of, run, wait_until

from running.ownership import HeldError
from training.state import TrainingState
from workflow_runs import digests


def assert_same_cubes(queue, reference, *models):
    """Cubes of the run in the queue have the bytes of the reference's, and each update once."""
    for model in models:
        name = f"cubes/{model}.nc"
        expected = reference / "results" / "queue"
        with xr.open_dataset(expected / name) as cube:
            updates = cube.sizes["step"]
        with xr.open_dataset(queue.results / name) as cube:
            assert cube["step"].values.tolist() == list(range(1, updates + 1))
        assert digests(queue.results, name) == digests(expected, name)
        rows = (queue.results / "models" / model / "training.csv").read_text().splitlines()[1:]
        assert [int(row.split(",")[0]) for row in rows] == list(range(1, updates + 1))
        assert (
            not queue.state(model).exists() and not queue.state(model).with_suffix(".lock").exists()
        )


TRAINING = "rule_train_model_"


def model_of(comment):
    """The model whose training has this comment in the queue."""
    return comment.removeprefix(TRAINING).replace("_", "-")


def trainings():
    """Numbers of the trainings' jobs in the queue, by model."""
    return {
        model_of(job["comment"]): job["number"]
        for job in jobs()
        if job["comment"].startswith(TRAINING)
    }


def finished_trainings():
    """Jobs of trainings that Slurm remembers: number, model, start, end, seconds since 1970."""
    found = []
    for record in ask("scontrol", "show", "job", "--oneliner").splitlines():
        fields = dict(field.split("=", 1) for field in record.split() if "=" in field)
        comment = fields.get("Comment", "")
        if comment.startswith(TRAINING):
            times = [fields["StartTime"], fields["EndTime"]]
            start, end = (datetime.fromisoformat(time).timestamp() for time in times)
            found.append((fields["JobId"], model_of(comment), start, end))
    return found


def wait_for_checkpoint(queue, process, *models):
    """Wait until trainings are in their midst."""

    def all_there():
        assert process.poll() is None, (queue.folder / "output.txt").read_text()
        return all(progress_of(queue.state(model)) for model in models)

    wait_until(all_there, LONG, "no checkpoint")


def test_two_models_train_at_a_time_each_on_its_own_gpu(queue, small_paper):
    """From text to claims; figures and tables are those of the local run."""
    here = queue(small_paper)
    shutil.rmtree(here.results)  # the text is made in the queue as well
    before = {number for number, *_ in finished_trainings()}
    here.finish(*TARGETS)
    models = sorted(path.stem for path in here.results.glob("cubes/*.nc"))
    assert models == ["clm-en", "mlm-en", "mt-en-de"]
    assert_same_cubes(here, small_paper, *models)
    made = ("figures/*", "tables/*", "claims/*")
    expected = digests(small_paper / "results" / "queue", *made)
    assert len(expected) > 3 + 9 + 4 and digests(here.results, *made) == expected
    ours = [job for job in finished_trainings() if job[0] not in before]
    assert sorted(model for _, model, _, _ in ours) == models
    gpus = {}
    for model in models:
        log = (here.results / "logs" / "train_model" / f"{model}.log").read_text()
        gpus[model] = re.search(r"GPUs: (\d)$", log, flags=re.MULTILINE)[1]
    at_once = 0
    for number, model, start, end in ours:
        others = [job for job in ours if job[0] != number and job[2] < end and start < job[3]]
        at_once = max(at_once, 1 + sum(job[2] <= start for job in others))
        assert gpus[model] not in {gpus[job[1]] for job in others}
    assert at_once == 2


def test_a_training_longer_than_the_time_limit_takes_several_tries(queue, long_models, time_limit):
    here = queue(long_models)
    profile = here.folder / "profiles" / "slurm" / "config.yaml"
    text, edits = re.subn(r"time_limit: \d+", f"time_limit: {time_limit}", profile.read_text())
    assert edits == 1
    profile.write_text(text)
    before = {number for number, *_ in finished_trainings()}
    said = here.finish(here.cube("clm-en"))
    tries = [number for number, *_ in finished_trainings() if number not in before]
    assert len(tries) >= 3, said
    stops = re.findall(r"stopped at update (\d+) of \d+ and saved, because its job ends in", said)
    assert len(stops) == len(tries) - 1
    assert sorted(map(int, stops)) == list(map(int, stops)) and "more like it to the end" in said
    assert_same_cubes(here, long_models, "clm-en")


def test_cancelled_and_requeued_trainings_go_on(queue, long_models):
    here = queue(long_models)
    process = here.start(here.cube("mlm-de"), here.cube("clm-de"))
    wait_for_checkpoint(here, process, "mlm-de", "clm-de")
    numbers = trainings()
    run("scancel", numbers["clm-de"])
    run("scontrol", "requeue", numbers["mlm-de"])
    waiting = ("squeue", "-h", "-o", "%T", "-j", numbers["mlm-de"])
    wait_until(lambda: ask(*waiting).strip() == "PENDING", LONG, "no requeue")
    assert not owner_of(here.state("mlm-de")), "it saved before it went"
    # Slurm lets a job rest for two minutes after that.
    run("scontrol", "update", f"JobId={numbers['mlm-de']}", "StartTime=now")
    here.end_of(process)
    ours = {model for number, model, *_ in finished_trainings() if number == numbers["mlm-de"]}
    assert ours == {"mlm-de"}
    assert_same_cubes(here, long_models, "mlm-de", "clm-de")


def test_a_killed_slurmd_loses_nothing(queue, long_models, cluster):
    here = queue(long_models)
    process = here.start(here.cube("clm-de"))
    wait_for_checkpoint(here, process, "clm-de")
    cluster.kill_node()
    at = progress_of(here.state("clm-de"))
    wait_until(lambda: progress_of(here.state("clm-de")) > at, LONG, "the training stopped too")
    cluster.start_node()
    here.end_of(process)
    assert_same_cubes(here, long_models, "clm-de")


def test_after_a_killed_snakemake_nothing_runs_twice(queue, long_models):
    here = queue(long_models)
    process = here.start(here.cube("clm-de"))
    wait_for_checkpoint(here, process, "clm-de")
    (number,) = trainings().values()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    unlock = ["-m", "snakemake", "--unlock", "--configfile", "settings.yaml", "--cores", "1"]
    # A trainer started by hand is refused and told which job is first.
    with pytest.raises(HeldError, match=f"Slurm job {number} is training this model"):
        TrainingState(here.state("clm-de"), {}).__enter__()
    subprocess.run([sys.executable, *unlock], cwd=here.folder, capture_output=True)
    with here.paused("clm-de"):
        said = here.finish(here.cube("clm-de"), status=1)
    assert f"job {number} (RUNNING): train_model_clm_de" in said
    assert f"scancel {number}" in said and "Traceback" not in said
    assert list(trainings().values()) == [number]
    run("scancel", number)
    wait_until(lambda: not jobs(), LONG, "it does not end")
    assert progress_of(here.state("clm-de")) > 0
    said = here.finish(here.cube("clm-de"))
    assert_same_cubes(here, long_models, "clm-de")


def another_user():
    """Name of an account that can run this Python, or None."""
    trial = [sys.executable, "-c", "import snakemake"]
    for account in ("games", "nobody"):
        with suppress(OSError, LookupError, ValueError):
            # As `Queue.start` does: without the groups of who runs the tests.
            alone = {"user": account, "group": account, "extra_groups": []}
            if subprocess.run(trial, capture_output=True, **alone).returncode == 0:
                return account
    return None


def share(folder, user):
    """Let the group of a user change a folder and all that will be in it."""
    group = pwd.getpwnam(user).pw_gid if user else os.getgid()
    for path in (folder, *folder.rglob("*")):
        os.chown(path, -1, group)
        path.chmod(path.stat().st_mode | (0o2070 if path.is_dir() else 0o060))


def test_two_users_with_one_results_folder_do_not_undo_each_other(queue, long_models, tmp_path):
    user = another_user()
    if user is None:
        said = "the second user is the first: no other account can run this Python"
        warnings.warn(said, stacklevel=1)
    first, second = queue(long_models, "first"), queue(long_models, "second")
    shutil.rmtree(second.folder / "results")
    (second.folder / "results").symlink_to(first.folder / "results")
    share(first.folder / "results", user)
    home = second.folder / "home"
    home.mkdir()
    if user:
        for path in (second.folder, *second.folder.rglob("*")):
            shutil.chown(path, user, user)
    as_second = {"user": user, "HOME": str(home), "USER": user} if user else {}
    process = first.start(first.cube("clm-de"))
    wait_for_checkpoint(first, process, "clm-de")
    with first.paused("clm-de"):
        said = second.finish(second.cube("mlm-de"), status=1, **as_second)
    assert f"process {process.pid} of " in said and "works on this results folder" in said
    assert "Traceback" not in said
    first.end_of(process)
    assert_same_cubes(first, long_models, "clm-de")
    # What the first has finished, the second leaves alone and builds on.
    before = (first.results / "cubes" / "clm-de.nc").stat().st_mtime_ns
    second.finish(second.cube("mlm-de"), second.cube("clm-de"), **as_second)
    assert_same_cubes(second, long_models, "clm-de", "mlm-de")
    assert (first.results / "cubes" / "clm-de.nc").stat().st_mtime_ns == before
