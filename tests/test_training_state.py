"""The state folder: one trainer at a time, one configuration, a history without holes."""

import os
import signal
import subprocess
import sys

import pytest

from common.files import UserError
from tiny_trainings import ROOT
from training.state import TrainingState

FINGERPRINT = {"model": "clm-en", "learning_rate": 5e-4, "adam_betas": [0.9, 0.98]}
HOLD = """
import sys, time
from pathlib import Path
from training.state import TrainingState
with TrainingState(Path(sys.argv[1]), {"model": "clm-en", "learning_rate": 5e-4,
                                       "adam_betas": [0.9, 0.98]}):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the state folder."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts"), "SLURM_JOB_ID": "77"}
    process = subprocess.Popen(
        [sys.executable, "-B", "-c", HOLD, str(tmp_path / "state")],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_trainer_is_refused_and_told_who_is_first(holder, tmp_path):
    with (
        pytest.raises(
            UserError, match=f"process {holder.pid} of .*, Slurm job 77 is training.* scancel 77"
        ),
        TrainingState(tmp_path / "state", FINGERPRINT),
    ):
        pass


def test_the_lock_falls_with_a_killed_process(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with TrainingState(tmp_path / "state", FINGERPRINT) as state:
        state.start_history(0)


def test_another_configuration_is_refused_with_both_values(tmp_path):
    with TrainingState(tmp_path / "state", FINGERPRINT):
        pass
    other = {**FINGERPRINT, "learning_rate": 1e-3, "seed": 2}
    with pytest.raises(UserError) as caught, TrainingState(tmp_path / "state", other):
        pass
    lines = str(caught.value).splitlines()
    assert "  learning_rate: 0.0005 in the state, 0.001 now" in lines
    assert "  seed: (absent) in the state, 2 now" in lines
    assert not any("adam_betas" in line for line in lines) and "remove the folder" in lines[-1]
    # A tuple is the same as the list that JSON gives back, and the refused try holds no lock.
    with TrainingState(tmp_path / "state", {**FINGERPRINT, "adam_betas": (0.9, 0.98)}):
        pass


def test_the_history_goes_back_to_the_checkpoint(tmp_path):
    state = TrainingState(tmp_path / "state", FINGERPRINT)
    history = tmp_path / "state" / "history.csv"
    with state:
        state.start_history(0)
        for update in (1, 2, 3):
            state.add_update(update, 5.0 / update, 100 + update)
        assert history.read_text() == "update,loss,tokens,seconds\n", "only with a checkpoint"
        state.save_history()
        state.add_update(4, 1.0, 104)
        state.save_history()
    with open(history, "a") as file:
        file.write("5,1.0,10")  # torn
    again = TrainingState(tmp_path / "state", FINGERPRINT)
    with again:
        again.start_history(2)
        again.add_update(3, 9.0, 103)
        again.save_history()
        again.copy_history(tmp_path / "training.csv")
        again.write_progress({"update": 3})
        rows = [row.split(",") for row in (tmp_path / "training.csv").read_text().splitlines()]
        assert [row[:3] for row in rows] == [
            ["update", "loss", "tokens"],
            ["1", "5.0000", "101"],
            ["2", "2.5000", "102"],
            ["3", "9.0000", "103"],
        ]
        again.remove()
    assert not (tmp_path / "state").exists()
