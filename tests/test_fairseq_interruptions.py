"""Real trainings with fairseq: killed, stopped, resumed, broken; nothing is lost or mixed."""

import json
import os
import random
import signal
import time

import numpy as np
import pytest
import torch

from losschange.cube.format import open_cube
from losschange.cube.parts import PartStore
from losschange.errors import RecordingError
from losschange_fairseq.errors import TrainingError
from prepared_processes import PreparedProcess
from training.snapshots import read_snapshot
from training_runs import (
    NAMES,
    UPDATES,
    check_same_model,
    columns,
    command,
    in_process,
    run,
    run_killed_after,
    run_to,
    state_of,
    wait_for_update,
)

# fairseq and hydra warn about their own use of torch and of each other.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore"),
]


def test_killed_at_any_moment_and_resumed_gives_the_same_bytes(straight, tokens, tmp_path):
    objective, folder = straight
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    moments = random.Random(seed)
    kills = 2 if objective == "clm" else 1
    for update in sorted(moments.sample(range(1, UPDATES - 1), kills)):
        process = PreparedProcess(command(tmp_path, objective, tokens))
        wait_for_update(process, tmp_path, update)
        time.sleep(moments.random() * 0.3)
        process.kill()
        process.wait()
    run(command(tmp_path, objective, tokens))
    assert (tmp_path / "cube").read_bytes() == (folder / "cube").read_bytes()
    assert (tmp_path / "settings").read_bytes() == (folder / "settings").read_bytes()
    check_same_model(tmp_path, folder)
    updates = [row.split(",")[0] for row in (tmp_path / "history").read_text().splitlines()]
    assert updates == ["update", *map(str, range(1, UPDATES + 1))]


@pytest.mark.parametrize("readers", [0, 2])
def test_sigterm_to_all_processes_of_a_job_saves_and_says_so(readers, tokens, tmp_path):
    changes = {"checkpoint_interval": 3, "data_workers": readers}
    process = PreparedProcess(
        command(tmp_path, "clm", tokens, total_updates=4000, **changes), start_new_session=True
    )
    wait_for_update(process, tmp_path, 6)
    os.killpg(process.pid, signal.SIGTERM)
    _, message = process.communicate()
    for _ in range(600):  # reading processes may take a moment longer to end
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.1)
    else:
        raise AssertionError("some of the training's processes go on")
    assert process.returncode == 1
    assert "error: clm-en was stopped at update" in message and "to go on" in message
    assert "Traceback" not in message
    stopped = int(message.split("at update ")[1].split()[0])
    assert (tmp_path / "state" / "checkpoints" / f"checkpoint_{stopped}.pt").is_file()
    assert PartStore(tmp_path / "state" / "parts").last_update() == stopped
    # Another configuration must not go on from this state.
    other = command(tmp_path, "clm", tokens, total_updates=4001, **changes)
    message = run(other, status=1)
    assert "total_updates: 4000 in the state, 4001 now" in message and "Traceback" not in message


@pytest.mark.parametrize("straight", ["clm"], indirect=True)  # one objective is enough
def test_tries_of_a_job_that_is_over_make_an_update_each_and_end_in_the_same_cube(
    straight, tokens, tmp_path
):
    objective, folder = straight
    arguments = command(tmp_path, objective, tokens)
    over = {**os.environ, "SLURM_JOB_ID": "1", "SLURM_JOB_END_TIME": str(int(time.time()) - 1)}
    for update in (1, 2):
        said = run(arguments, status=1, env=over)
        assert f"was stopped at update {update} of {UPDATES} and saved" in said
        assert "because its job ends in 0 s" in said
        assert f"about {UPDATES - update} more like it to the end" in said
    assert "goes on after update 2" in run(arguments)
    assert (tmp_path / "cube").read_bytes() == (folder / "cube").read_bytes()


@pytest.mark.parametrize("objective", list(NAMES))
def test_stopped_after_every_update(objective, tokens, tmp_path):
    """Every place in an epoch, its ends too, is a good place to go on from."""
    updates = 14 if objective == "mt" else 9
    changes = {"total_updates": updates, "max_tokens": 512}
    whole = in_process(tmp_path / "whole", objective, tokens, **changes)
    assert whole.run(lambda update, numbers: None, lambda: False)
    epochs = whole._epochs.epoch
    assert epochs > 1, "no end of an epoch was crossed"
    for update in range(1, updates + 1):
        training = in_process(tmp_path / "parts", objective, tokens, **changes)
        assert training.updates == update - 1
        complete = training.run(lambda number, numbers: None, lambda: True)
        assert training.updates == update and complete == (update == updates)
    for (name, a), (_, b) in zip(
        whole.trainer.get_model().named_parameters(),
        training.trainer.get_model().named_parameters(),
    ):
        assert torch.equal(a, b), name
    series = [np.concatenate(list(columns(run.store))) for run in (whole, training)]
    np.testing.assert_array_equal(*series)


@pytest.mark.parametrize("straight", ["clm"], indirect=True)  # one objective is enough
def test_a_complete_training_is_not_trained_further(straight, tokens, tmp_path):
    """Stopped after its last checkpoint, before its outputs were in place."""
    objective, folder = straight
    (tmp_path / "occupied").write_text("a file where a folder should be")
    arguments = command(tmp_path, objective, tokens)
    blocked = [*arguments[:-1], str(tmp_path / "occupied" / "settings")]
    assert "occupied" in run(blocked, status=1)
    run(arguments)
    assert (tmp_path / "cube").read_bytes() == (folder / "cube").read_bytes()
    check_same_model(tmp_path, folder)


def test_a_loss_that_is_not_finite_ends_with_the_update_and_keeps_the_checkpoint(tokens, tmp_path):
    arguments = command(tmp_path, "clm", tokens, learning_rate=1e30, checkpoint_interval=1)
    message = run(arguments, status=1)
    line = [line for line in message.splitlines() if line.startswith("error: ")]
    assert len(line) == 1 and line[0].startswith("error: clm-en: update "), message
    assert "lower the learning rate" in message.lower() and "Traceback" not in message
    assert not (tmp_path / "cube").exists()
    checkpoints = sorted(p.name for p in (tmp_path / "state" / "checkpoints").iterdir())
    assert checkpoints and all(name.startswith("checkpoint_") for name in checkpoints)
    # The same again ends the same: the state is whole.
    assert [x for x in run(arguments, status=1).splitlines() if x.startswith("error: ")] == line


@pytest.mark.parametrize("straight", ["clm"], indirect=True)  # one objective is enough
def test_a_full_disk_ends_clearly_and_loses_nothing(tokens, tmp_path, straight):
    objective, folder = straight
    run_to(tmp_path, tokens, 10)
    # Half of a checkpoint: more than a part of the cube needs.
    size = max(p.stat().st_size for p in (tmp_path / "state" / "checkpoints").iterdir()) // 2
    limited = f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size})); del sys.argv[0]"
    program = (
        f"import resource, runpy, sys; {limited}; runpy.run_path(sys.argv[0], None, '__main__')"
    )
    interpreter, _, *arguments = command(tmp_path, "clm", tokens)
    message = run([interpreter, "-c", program, *arguments], status=1)
    last = message.splitlines()[-1]
    assert last.startswith("error: clm-en: update 15: the state could not be saved"), message
    assert "Is the disk full?" in last
    checkpoints = sorted(p.name for p in (tmp_path / "state" / "checkpoints").iterdir())
    assert checkpoints == ["checkpoint_10.pt", "checkpoint_5.pt"]
    run(command(tmp_path, "clm", tokens))
    assert (tmp_path / "cube").read_bytes() == (folder / "cube").read_bytes()


def test_a_torn_checkpoint_is_an_error_and_the_one_before_still_good(tokens, tmp_path):
    updates = {"total_updates": 12, "checkpoint_interval": 4}
    first = in_process(tmp_path, "clm", tokens, **updates)
    assert first.run(lambda update, numbers: None, lambda: False)
    expected = np.concatenate(list(columns(first.store)))
    newest = tmp_path / "checkpoints" / "checkpoint_12.pt"
    newest.write_bytes(newest.read_bytes()[:1000])
    with pytest.raises(TrainingError, match=r"checkpoint_12\.pt could not be loaded .*remove it"):
        in_process(tmp_path, "clm", tokens, **updates)
    newest.unlink()
    again = in_process(tmp_path, "clm", tokens, **updates)
    assert again.updates == 8
    assert again.run(lambda update, numbers: None, lambda: False)
    np.testing.assert_array_equal(np.concatenate(list(columns(again.store))), expected)


def test_a_recorded_number_that_is_not_finite_is_no_full_disk(tokens, tmp_path):
    training = in_process(tmp_path, "clm", tokens, total_updates=2, warmup_updates=1)

    def spoil(update, numbers):
        training.task.recorder._buffers["batch"]._table[0, 0] = float("inf")

    with pytest.raises(RecordingError, match="update 1: the loss change of"):
        training.run(spoil, lambda: True)


def test_what_goes_with_a_checkpoint_is_saved_before_it(tokens, tmp_path):
    """Killed in between, it is dropped; the other way round it would be lost."""
    training, seen = in_process(tmp_path, "clm", tokens, total_updates=2, warmup_updates=1), []
    checkpoints = tmp_path / "checkpoints"
    training._before_save = lambda: seen.append(sorted(p.name for p in checkpoints.iterdir()))
    training.run(lambda update, numbers: None, lambda: False)
    assert seen == [[]]


@pytest.mark.parametrize("straight", ["clm"], indirect=True)  # one objective is enough
def test_a_half_done_training_goes_on_under_another_way_to_run_it(straight, tokens, tmp_path):
    """Intervals, reading processes: none of them defines a model, so none is a reason to refuse."""
    objective, folder = straight
    run_killed_after(command(tmp_path, objective, tokens), tmp_path, 10)
    run(
        command(
            tmp_path, objective, tokens,
            checkpoint_interval=7, validation_interval=15, data_workers=1, device="auto",
        )
    )  # fmt: skip
    check_same_model(tmp_path, folder)
    with open_cube(tmp_path / "cube") as resumed, open_cube(folder / "cube") as whole:
        np.testing.assert_array_equal(resumed["lca"].values, whole["lca"].values)


def test_a_resumed_training_keeps_the_same_snapshots(tokens, tmp_path):
    """To the byte, those before the interruption and those after it; and whole states beside."""
    kept = ["--kept", json.dumps({"updates": [0, 3, 12, 30], "resume_points": [9, 20]})]
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    for folder in (whole, resumed):
        folder.mkdir()
    run([*command(whole, "clm", tokens), *kept])
    run_killed_after([*command(resumed, "clm", tokens), *kept], resumed, 10)
    run([*command(resumed, "clm", tokens), *kept])
    for update in (0, 3, 12, 30):
        name = f"snapshots/{update}.pt"
        assert (whole / name).read_bytes() == (resumed / name).read_bytes(), name
    number, weights = read_snapshot(whole / "snapshots/30.pt")
    final = state_of(whole / "checkpoint")
    assert number == 30 and weights.keys() == final.keys()
    for name, tensor in weights.items():
        assert torch.equal(
            tensor, final[name].half() if final[name].is_floating_point() else final[name]
        )
    assert {path.name for path in (resumed / "resume_points").iterdir()} == {"9.pt", "20.pt"}
    state = torch.load(resumed / "resume_points/9.pt", map_location="cpu")
    assert state["optimizer_history"][-1]["num_updates"] == 9 and "last_optimizer_state" in state


def test_a_snapshot_that_came_too_late_is_refused_with_what_to_do(tokens, tmp_path):
    run_killed_after(command(tmp_path, "clm", tokens), tmp_path, 10)
    late = ["--kept", json.dumps({"updates": [2]})]
    assert "kept nothing of update 2" in run([*command(tmp_path, "clm", tokens), *late], status=1)
