"""The Slurm of these tests, what the runs in its queue are compared with, and cleaning up."""

import csv
import math
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import yaml
from cluster import (
    LONG,
    TARGETS,
    Cluster,
    NoSlurm,
    ask,
    install,
    jobs,
    processes_with,
    wait_until,
)

from workflow_runs import ROOT, TINY, copy_repository

PROFILE = ROOT / "profiles" / "slurm" / "config.yaml"
VARIABLE = "LOSSCHANGE_TEST_RUN"
LOOK_EVERY = ("--slurm-init-seconds-before-status-checks", "1")
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
# Of updates at their fastest, without starting and saving.
SHORT_SECONDS = 15
LONG_LIMITS = 1.25  # for one time limit; a try trains for less than half of its own


@pytest.fixture(scope="session")
def cluster():
    """A running Slurm with two slots."""
    partition = yaml.safe_load(PROFILE.read_text())["default-resources"]["slurm_partition"]
    # The session's own end too, when it is asked to stop.
    signal.signal(signal.SIGTERM, lambda number, frame: pytest.exit("stopped", 128 + number))
    try:
        install()
    except NoSlurm as reason:
        pytest.skip(f"no Slurm here: {reason}")
    folder = open_folder()
    cluster = Cluster(folder, partition)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def small_paper(tmp_path_factory):
    """Folder of an undisturbed local run: a model of each objective, two at a time."""
    folder = new_folder(
        tmp_path_factory.mktemp("small"),
        TINY,
        execution={"validation_interval": 200, "checkpoint_interval": 100},
        # Long enough for two to run at a time in the queue as well.
        objective_training={name: {"total_updates": 600} for name in ("clm", "mlm", "mt")},
    )
    run_here(folder, *TARGETS)
    return folder


@pytest.fixture(scope="session")
def time_limit():
    """Minutes in which a job can start, train for a while and save: 1, more on a busy machine."""
    before = time.monotonic()
    trial = [sys.executable, "-c", "import training.run"]
    subprocess.run(trial, check=True, cwd=ROOT / "scripts")
    # Two processes of Snakemake start before the training does.
    return math.ceil(3 * 2 * (time.monotonic() - before) / 60)


@pytest.fixture(scope="session")
def long_models(time_limit, tmp_path_factory):
    """The same of three models that train for a while: clm-en longer than a job's time limit."""
    # A short training first: how fast is this machine?
    trial = new_folder(
        tmp_path_factory.mktemp("trial"),
        TINY,
        models=["clm-en"],
        objective_training={"clm": {"total_updates": 400}},
    )
    run_here(trial, "cubes")
    folder = new_folder(
        tmp_path_factory.mktemp("long"),
        TINY,
        execution={"validation_interval": 200, "checkpoint_interval": 50},
        models=["clm-en", "clm-de", "mlm-de"],
        main_models={"mlm": "mlm-de"},
        model_training={
            name: {"total_updates": round(seconds / seconds_per_update(trial, "clm-en"))}
            for name, seconds in (
                ("clm-de", SHORT_SECONDS),
                ("mlm-de", SHORT_SECONDS),
                ("clm-en", LONG_LIMITS * 60 * time_limit),
            )
        },
    )
    run_here(folder, "cubes")
    return folder


def new_folder(parent, preset, execution=None, **settings):
    """A copy of the repository with the settings of a preset, and some of its own."""
    folder = copy_repository(parent / "repository")
    settings = yaml.safe_load(preset.read_text()) | {"run": "queue"} | settings
    # The queue's GPUs are none; the trainings use the CPU.
    settings["execution"]["gpus"] = 1
    settings["execution"]["device"] = "cpu"
    settings["execution"] |= execution or {}
    (folder / "settings.yaml").write_text(yaml.safe_dump(settings))
    return folder


def open_folder():
    """A new folder that other users may enter, unlike pytest's; jobs of a second one run in it."""
    folder = Path(tempfile.mkdtemp(prefix="losschange-slurm-"))
    folder.chmod(0o755)
    return folder


def run_here(folder, *targets):
    """Make targets in a folder on this machine, without Slurm."""
    command = [sys.executable, "-m", "snakemake", *targets, "--cores", "2"]
    process = subprocess.Popen(
        [*command, "--configfile", "settings.yaml"],
        cwd=folder,
        env={**os.environ, **ONE_THREAD},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate()
        assert process.returncode == 0, said
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def seconds_per_update(folder, model):
    """The fifth part of a training's updates were faster: a busy machine makes the others slow."""
    with open(folder / "results" / "queue" / "models" / model / "training.csv") as file:
        return statistics.quantiles((float(row["seconds"]) for row in csv.DictReader(file)), n=5)[0]


class Queue:
    """A copy of the repository whose runs go through Slurm."""

    def __init__(self, folder, mark):
        self.folder, self.mark = folder, mark
        self.results = folder / "results" / "queue"
        self.started = []

    def start(self, *targets, user=None, **variables):
        """Start Snakemake with the profile as it is; the process."""
        command = [sys.executable, "-m", "snakemake", *targets]
        command += ["--workflow-profile", "profiles/slurm", "--cores", "all", *LOOK_EVERY]
        command += ["--configfile", "settings.yaml"]
        options = {"user": user, "group": user, "extra_groups": []} if user else {}
        with open(self.folder / "output.txt", "w") as output:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**os.environ, **ONE_THREAD, VARIABLE: self.mark, **variables},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=0o002,  # what one user writes, the other's group may change
                **options,
            )
        self.started.append(process)
        return process

    def finish(self, *targets, status=0, **options):
        """Run Snakemake to its end; what it said."""
        process = self.start(*targets, **options)
        return self.end_of(process, status)

    def end_of(self, process, status=0):
        """Wait for the end of a run; what it said."""
        code = process.wait(timeout=1800)
        said = (self.folder / "output.txt").read_text()
        assert (code == 0) == (status == 0), said
        return said

    @contextmanager
    def paused(self, model):
        """Halt the processes of a training while the block runs, so that it does not end before."""
        state = f"models/{model}/state".encode()
        found = [number for number, c in processes_with(VARIABLE, self.mark).items() if state in c]
        assert found
        for number in found:
            os.kill(number, signal.SIGSTOP)
        try:
            yield
        finally:
            for number in found:
                os.kill(number, signal.SIGCONT)

    def state(self, model):
        return self.results / "models" / model / "state"

    def cube(self, model):
        return f"results/queue/cubes/{model}.nc"


@pytest.fixture
def queue(cluster):
    """Makes folders for runs; stops remaining processes, and checks whether there were any."""
    mark, made, base = uuid.uuid4().hex, [], open_folder()

    def make(reference, name="repository"):
        folder = copy_repository(base / name)
        shutil.copy(reference / "settings.yaml", folder)
        for part in ("corpora", "tokens"):
            shutil.copytree(
                reference / "results" / "queue" / part, folder / "results" / "queue" / part
            )
        made.append(Queue(folder, mark))
        return made[-1]

    try:
        yield make
        # Nothing is left of a run that ended as it should.
        wait_until(
            lambda: not processes_with(VARIABLE, mark),
            LONG,
            "processes are left behind",
        )
        assert jobs() == []
    finally:
        for process in [process for folder in made for process in folder.started]:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for number in [job["number"] for job in jobs()]:
            subprocess.run(["scancel", number], capture_output=True)
        wait_until(lambda: not ask("squeue", "-h").strip(), LONG, "jobs that do not end")
        for process in processes_with(VARIABLE, mark):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        shutil.rmtree(base, ignore_errors=True)
