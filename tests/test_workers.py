"""Trainings with two workers: the record of one process, one writer, no orphan, no lost update."""

import json
import multiprocessing
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from common.files import UserError
from losschange.cube.format import open_cube
from prepared_processes import PreparedProcess
from running.models import parse_model
from tiny_trainings import RECORDING, split_changes, tiny_training
from training.fairseq_arguments import fairseq_arguments
from training.state import Outputs
from training.workers import _exit_codes
from training_runs import ALL_NAMES, NAMES, OUTPUTS, command

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

UPDATES = 20
# Dropout masks would differ: every process draws its own.
SAME = {"total_updates": UPDATES, "dropout": 0.0, "learning_rate": 2e-3, "checkpoint_interval": 6}


def start(folder, objective, tokens, workers=2, prepared=True, **changes):
    """train_model.py, started in a session of its own."""
    folder.mkdir(exist_ok=True)
    changes = {**SAME, **changes, "workers": workers}
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    arguments = command(folder, objective, tokens, **changes)
    if prepared:
        return PreparedProcess(arguments, env=environment, start_new_session=True)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(arguments, env=environment, start_new_session=True, **pipes)


def end(process, status=0):
    """Its stderr; nothing that it started lives any more."""
    try:
        _, said = process.communicate(timeout=900)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == status, said
    assert not alive(process.pid)
    return said


def members(session):
    """Pids of the living processes of a session, from /proc."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            fields = (place / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(place.name))
        except OSError:
            continue
    return found


def alive(session, seconds=20):
    """What still lives of a session after some seconds."""
    deadline = time.monotonic() + seconds
    while members(session) and time.monotonic() < deadline:
        time.sleep(0.1)
    return members(session)


def workers_of(process):
    """Pids of the workers, which are forks of the process that starts them."""
    return sorted(pid for pid in members(process.pid) if pid != process.pid)


def wait_for_checkpoint(process, folder):
    while not list((folder / "state" / "checkpoints").glob("checkpoint_*.pt")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)


def wait_for_update(process, folder, update):
    while history_updates(folder)[-1] < update:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)


def saved_updates(folder):
    names = [path.stem for path in (folder / "state" / "checkpoints").glob("checkpoint_*.pt")]
    return sorted(int(name.partition("_")[2]) for name in names)


def history_updates(folder):
    rows = (folder / "state" / "history.csv").read_text().splitlines()
    return [int(row.partition(",")[0]) for row in rows[1:]]


def first_numbers(folder):
    return [row.split(",")[:3] for row in (folder / "history").read_text().splitlines()]


@pytest.fixture(scope="module", params=list(NAMES))
def pair(request, tokens, tmp_path_factory):
    """(objective, folder) of a training with two workers, which crosses the end of an epoch."""
    folder = tmp_path_factory.mktemp(f"two-{request.param}")
    prepared = request.param != "clm"
    assert "error" not in end(start(folder, request.param, tokens, prepared=prepared))
    return request.param, folder


def compare_with_one_process(folder, objective, tokens, tmp_path, **changes):
    """A training with two workers has the record of one process, which is trained here."""
    from training.run import train_model

    model = parse_model(ALL_NAMES[objective])
    outputs = Outputs(*(tmp_path / name for name in OUTPUTS))
    changes, execution = split_changes({**SAME, **changes})
    data, state = tokens[objective], tmp_path / "state"
    train_model(
        model, tiny_training(model, **changes), execution, RECORDING, data, 1, state, outputs
    )

    assert {path.name for path in folder.iterdir()} == {path.name for path in tmp_path.iterdir()}
    settings = [json.loads((path / "settings").read_text()) for path in (folder, tmp_path)]
    for entry, workers in zip(settings, (2, 1), strict=True):
        assert entry["as_run"].pop("workers") == workers
    assert settings[0]["as_run"] == settings[1]["as_run"], "the same batch"
    with open_cube(folder / "cube") as two, open_cube(tmp_path / "cube") as one:
        assert two["step"].values.tolist() == list(range(1, UPDATES + 1))
        names = [name for name in one if name.startswith("lca")]
        assert set(names) == {name for name in two if name.startswith("lca")}
        for name in ("tokens", "sample_size", "lr"):
            np.testing.assert_array_equal(two[name], one[name])
        for name in ("loss", "valid_loss", "probe_loss", "grad_norm"):
            np.testing.assert_allclose(two[name], one[name], rtol=1e-4)
        for name in names:
            found, expected = two[name].values, one[name].values
            assert np.array_equal(np.isnan(found), np.isnan(expected))
            size = np.nansum(np.abs(expected)) / len(expected)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3 * size, err_msg=name)


@pytest.mark.usefixtures("one_thread")
def test_two_workers_record_what_one_process_does(pair, tokens, tmp_path):
    objective, folder = pair
    compare_with_one_process(folder, objective, tokens, tmp_path)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("objective", "changes"), [("plm", {"prefix_share": None}), ("dae", {})])
def test_prefixes_and_noise_are_those_of_one_process(objective, changes, tokens, tmp_path):
    assert "error" not in end(start(tmp_path / "two", objective, tokens, **changes))
    (tmp_path / "one").mkdir()
    compare_with_one_process(tmp_path / "two", objective, tokens, tmp_path / "one", **changes)


@pytest.mark.parametrize("pair", ["clm"], indirect=True)  # what is resumed, other tests say of all
def test_a_killed_worker_ends_the_others_and_the_next_try_gives_the_same_bytes(
    pair, tokens, tmp_path
):
    objective, folder = pair
    process = start(tmp_path, objective, tokens)
    wait_for_checkpoint(process, tmp_path)
    # The first one writes; its loss is the worse one.
    os.kill(workers_of(process)[0], signal.SIGKILL)
    said = end(process, 1)
    assert "\nerror: worker 1 of 2 was killed (SIGKILL)" in said
    assert "Traceback" not in said
    assert "goes on after update" in end(start(tmp_path, objective, tokens))
    assert (tmp_path / "cube").read_bytes() == (folder / "cube").read_bytes()
    assert first_numbers(tmp_path) == first_numbers(folder)


def test_workers_save_and_end_when_the_process_that_started_them_dies(tokens, tmp_path):
    process = start(tmp_path, "clm", tokens, total_updates=5000)
    wait_for_checkpoint(process, tmp_path)
    assert len(workers_of(process)) == 2
    os.kill(process.pid, signal.SIGKILL)
    end(process, -signal.SIGKILL)
    assert saved_updates(tmp_path)[-1] == history_updates(tmp_path)[-1]


def test_a_signal_to_one_worker_stops_all_at_one_update(tokens, tmp_path):
    process = start(tmp_path, "clm", tokens, total_updates=5000)
    wait_for_checkpoint(process, tmp_path)
    os.kill(workers_of(process)[1], signal.SIGTERM)
    said = end(process, 1)
    assert "Traceback" not in said
    stopped = int(re.search(r"^error: clm-en was stopped at update (\d+) ", said, re.M)[1])
    assert saved_updates(tmp_path)[-1] == stopped
    assert history_updates(tmp_path) == list(range(1, stopped + 1))
    # The number of workers does not define the model: one process continues what two began.
    process = start(tmp_path, "clm", tokens, workers=1, total_updates=5000)
    wait_for_update(process, tmp_path, stopped + 5)
    process.terminate()
    assert f"clm-en: goes on after update {stopped}" in end(process, 1)
    assert history_updates(tmp_path)[: stopped + 5] == list(range(1, stopped + 6))


def test_an_error_is_told_once_in_the_words_of_a_single_process(tokens, tmp_path):
    said = end(start(tmp_path, "clm", tokens, learning_rate=1e30, warmup_updates=0), 1)
    assert "Traceback" not in said and said.count("error: ") == 1
    assert "\nerror: clm-en: update " in said
    assert not list((tmp_path / "state" / "checkpoints").glob("crash*"))


def test_a_batch_that_does_not_divide_is_refused():
    model = parse_model("clm-en")
    with pytest.raises(UserError, match="update_frequency 2 does not divide among 3 workers"):
        fairseq_arguments(model, tiny_training(model), Path("."), 1, "cpu", worker=(0, 3))


class EndsWhenLookedAt:
    """A process that ends between two queries of its state."""

    def __init__(self, looks):
        self._looks = looks
        self.sentinel, writer = multiprocessing.Pipe(duplex=False)
        writer.close()

    @property
    def exitcode(self):
        self._looks -= 1
        return None if self._looks > 0 else 0


@pytest.mark.parametrize("looks", [1, 2, 3, 4])
def test_a_worker_that_ends_at_any_moment_is_noticed(looks):
    processes = [EndsWhenLookedAt(looks), EndsWhenLookedAt(1)]
    answer = []
    waiting = threading.Thread(target=lambda: answer.append(_exit_codes(processes)), daemon=True)
    waiting.start()
    waiting.join(30)
    assert answer == [[0, 0]]
