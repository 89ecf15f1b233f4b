"""Real trainings with fairseq: interrupted, resumed, broken, and compared with stock fairseq."""

import argparse
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from losschange.cube import CubeError, open_cube
from losschange.errors import RecordingError
from losschange.parts import PartStore
from losschange_fairseq.training import Intervals, ResumableTraining, TrainingError
from reproduction.fairseq_arguments import PLUGIN, fairseq_arguments
from reproduction.models import parse_model
from tiny_trainings import RECORDING, ROOT, tiny_training, write_tokens

# fairseq and hydra warn about their own use of torch and of each other.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore"),
]

SCRIPT = ROOT / "scripts" / "train_model.py"
NAMES = {"clm": "clm-en", "mlm": "mlm-en", "mt": "mt-en-de"}
UPDATES = 30
OUTPUTS = ("cube", "checkpoint", "history", "settings")
# What stock fairseq does not know.
SLOW = {
    **dict.fromkeys(
        ("fast_layers", "fast_cross_entropy", "fast_optimizer", "fast_bookkeeping"), False
    ),
    "micro_batches": "stock",
}


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    return write_tokens(tmp_path_factory.mktemp("tokens"))


def command(folder, objective, tokens, **changes):
    model = parse_model(NAMES[objective])
    training = json.dumps(tiny_training(model, **changes))
    outputs = [part for name in OUTPUTS for part in (f"--{name}", str(folder / name))]
    return [
        *(sys.executable, "-B", str(SCRIPT), "--model", model.name, "--training", training),
        *("--recording", json.dumps(RECORDING)),
        *("--tokens", str(tokens[objective]), "--seed", "1", "--state", str(folder / "state")),
        *outputs,
    ]


def run(arguments, status=0, **options):
    """Run train_model.py to its end; its stderr."""
    done = subprocess.run(arguments, capture_output=True, text=True, **options)
    assert done.returncode == status, done.stderr
    return done.stderr


def in_process(folder, objective, tokens, **changes):
    model = parse_model(NAMES[objective])
    training = tiny_training(model, **changes)
    intervals = Intervals(
        training["total_updates"], training["validation_interval"], training["checkpoint_interval"]
    )
    arguments = fairseq_arguments(model, training, tokens[objective], 1, "cpu")
    return ResumableTraining(arguments, folder, intervals)


@pytest.fixture(scope="module", params=list(NAMES))
def straight(request, tokens, tmp_path_factory):
    """(objective, folder of the outputs) of an uninterrupted training."""
    folder = tmp_path_factory.mktemp(f"straight-{request.param}")
    assert "error" not in run(command(folder, request.param, tokens))
    return request.param, folder


def state_of(folder):
    """Parameters of a saved model."""
    torch.serialization.add_safe_globals([argparse.Namespace])
    return torch.load(folder, map_location="cpu")["model"]


def wait_for_update(process, folder, update):
    """Wait until a training has saved a checkpoint at or after an update."""
    while process.poll() is None:
        found = [int(p.stem[11:]) for p in folder.glob("state/checkpoints/checkpoint_*.pt")]
        if max(found, default=0) >= update:
            return
        time.sleep(0.01)


def test_all_outputs_and_nothing_else(straight):
    objective, folder = straight
    assert sorted(p.name for p in folder.iterdir()) == sorted(OUTPUTS)
    rows = (folder / "history").read_text().splitlines()
    assert rows[0] == "update,loss,tokens,seconds"
    assert [int(row.split(",")[0]) for row in rows[1:]] == list(range(1, UPDATES + 1))
    settings = json.loads((folder / "settings").read_text())
    assert settings["as_run"]["layers"] == 2 and settings["objective"] == objective
    assert settings["parameters"] == sum(
        tensor.numel()
        for name, tensor in state_of(folder / "checkpoint").items()
        # Tied matrices stand there twice; a position table or version is no parameter.
        if "output_projection" not in name and "lm_head.weight" not in name
        and not name.endswith(("version", "_float_tensor"))
        and not (objective == "mt" and name == "decoder.embed_tokens.weight")
    )  # fmt: skip
    for name, asked in settings["configured"].items():
        if name in settings["as_run"] and name not in ("norm", "precision", "device"):
            assert settings["as_run"][name] == asked, name


def test_the_cube_tells_what_happened(straight):
    objective, folder = straight
    with open_cube(folder / "cube") as cube:
        assert cube.sizes["step"] == UPDATES and cube.attrs["model"] == NAMES[objective]
        loss = cube["loss"].values
        assert np.isfinite(loss).all() and loss[-5:].mean() < loss[:5].mean()
        assert cube["valid_step"].values.tolist() == [0, 10, 20, 30]
        # A new model is about as good as guessing among the symbols.
        assert abs(cube["valid_loss"].values[0] - np.log(200)) < 1.5
        assert cube["valid_loss"].values[-1] < cube["valid_loss"].values[0]
        lr = cube["lr"].values
        assert lr[3] == pytest.approx(1e-2 * 3 / 4) and np.argmax(lr) == 4
        assert lr[-1] == pytest.approx(1e-2 / 26, rel=1e-4)
        assert (cube["loss_scale"].values == 1).all() and (cube["grad_norm"].values > 0).all()
        share = cube["sample_size"].values.sum() / cube["tokens"].values.sum()
        assert share == pytest.approx(0.15, abs=0.05) if objective == "mlm" else share == 1
        total = cube["lca"].sum(("layer", "component", "head")).values
        assert (total < 0).mean() > 0.9, "the training batch's own estimator"


@pytest.mark.parametrize(("objective", "clip_norm"), [*((o, 0.0) for o in NAMES), ("clm", 0.1)])
def test_the_cube_equals_a_slow_reference(objective, clip_norm, tokens, tmp_path):
    """fairseq's Trainer stepped by hand; autograd's gradients, float64, tensor by tensor."""
    training = in_process(tmp_path, objective, tokens, dropout=0.0, clip_norm=clip_norm)
    trainer, task = training.trainer, training.task
    model, rows = trainer.get_model(), []
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    parameters = [p for p in model.parameters() if p.requires_grad]

    stock_step = training._update

    def step(samples):
        model.train()
        before = [p.detach().double().clone() for p in parameters]
        loss = size = 0.0
        for sample in samples:
            part, sample_size, _ = trainer.criterion(model, sample)
            loss, size = loss + part, size + sample_size
        gradients = torch.autograd.grad(loss / size, parameters, allow_unused=True)
        numbers = stock_step(samples)
        rows.append(
            {
                name: 0.0 if g is None else float(((p.double() - b) * g.double()).sum())
                for name, p, b, g in zip(names, parameters, before, gradients)
            }
        )
        return numbers

    training._update = step
    assert training.run(lambda update, numbers: None, lambda: False)
    partition = task.recorder.partition
    found = 0
    for part in training.store.parts():
        with open_cube(part[2]) as cube:
            grid = cube["lca"].sum("head", min_count=1)
            for row in grid.transpose("step", "layer", "component"):
                expected = {}
                for name, value in rows[found].items():
                    start = partition.offsets[partition.names.index(name)] // partition.block
                    cell = partition.layout.cells[partition.block_cells[start]]
                    key = cell.layer, cell.component
                    expected[key] = expected.get(key, 0.0) + value
                for (layer, component), value in expected.items():
                    recorded = float(row.sel(layer=layer, component=component))
                    assert recorded == pytest.approx(value, rel=1e-3, abs=2e-6), (found, component)
                found += 1
    assert found == UPDATES


def test_killed_at_any_moment_and_resumed_gives_the_same_bytes(straight, tokens, tmp_path):
    objective, folder = straight
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    moments = random.Random(seed)
    kills = 2 if objective == "clm" else 1
    for update in sorted(moments.sample(range(1, UPDATES - 1), kills)):
        process = subprocess.Popen(
            command(tmp_path, objective, tokens), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        wait_for_update(process, tmp_path, update)
        time.sleep(moments.random() * 0.3)
        process.kill()
        process.wait()
        process.stdout.close()
    run(command(tmp_path, objective, tokens))
    assert (tmp_path / "cube").read_bytes() == (folder / "cube").read_bytes()
    assert (tmp_path / "settings").read_bytes() == (folder / "settings").read_bytes()
    check_same_model(tmp_path, folder)
    updates = [row.split(",")[0] for row in (tmp_path / "history").read_text().splitlines()]
    assert updates == ["update", *map(str, range(1, UPDATES + 1))]


def check_same_model(one, other):
    one, other = state_of(one / "checkpoint"), state_of(other / "checkpoint")
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


@pytest.mark.parametrize("objective", ["clm"])
def test_sigterm_saves_and_says_so(objective, tokens, tmp_path, request):
    process = subprocess.Popen(
        command(tmp_path, objective, tokens, checkpoint_interval=3, total_updates=400),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_update(process, tmp_path, 6)
    process.send_signal(signal.SIGTERM)
    _, message = process.communicate()
    assert process.returncode == 1
    assert "error: clm-en was stopped at update" in message and "to go on" in message
    assert "Traceback" not in message
    stopped = int(message.split("at update ")[1].split()[0])
    assert (tmp_path / "state" / "checkpoints" / f"checkpoint_{stopped}.pt").is_file()
    assert PartStore(tmp_path / "state" / "parts").last_update() == stopped
    # Another configuration must not go on from this state.
    other = command(tmp_path, objective, tokens, checkpoint_interval=3, total_updates=401)
    message = run(other, status=1)
    assert "total_updates: 400 in the state, 401 now" in message and "Traceback" not in message


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
    updates = 14
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


def columns(store):
    for _, _, path in store.parts():
        with open_cube(path) as cube:
            yield np.concatenate(
                [cube["lca"].values.reshape(cube.sizes["step"], -1)]
                + [cube[name].values[:, None] for name in ("loss", "lr", "grad_norm", "tokens")],
                axis=1,
            )


def test_a_complete_training_is_not_trained_further(straight, tokens, tmp_path):
    """Stopped after its last checkpoint, before its outputs were in place."""
    objective, folder = straight
    if objective != "clm":
        pytest.skip("one objective is enough")
    (tmp_path / "occupied").write_text("a file where a folder should be")
    arguments = command(tmp_path, objective, tokens)
    blocked = [*arguments[:-1], str(tmp_path / "occupied" / "settings")]
    assert "occupied" in run(blocked, status=1)
    run(arguments)
    assert (tmp_path / "cube").read_bytes() == (folder / "cube").read_bytes()
    check_same_model(tmp_path, folder)


def fairseq_train(arguments):
    """fairseq-train itself, in a process of its own."""
    code = (
        "import argparse, torch\n"
        "torch.set_num_threads(1)\n"
        "torch.serialization.add_safe_globals([argparse.Namespace])\n"
        "from fairseq_cli.train import cli_main; cli_main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout + done.stderr


STOCK_TASKS = {
    "lca_language_modeling": "language_modeling",
    "lca_masked_lm": "masked_lm",
    "lca_translation": "translation",
}


@pytest.mark.parametrize("objective", list(NAMES))
def test_stock_fairseq_gives_the_same_model(objective, tokens, tmp_path):
    """Neither the recording nor the loop around fairseq's Trainer changes a bit."""
    folder = tmp_path / "ours"
    folder.mkdir()
    run(command(folder, objective, tokens, **SLOW))
    model = parse_model(NAMES[objective])
    training = tiny_training(model, **SLOW)
    arguments = fairseq_arguments(model, training, tokens[objective], 1, "cpu")
    at = arguments.index("--user-dir")
    arguments = [STOCK_TASKS.get(a, a) for a in arguments[:at] + arguments[at + 2 :]]
    fairseq_train(
        [*arguments, "--save-dir", str(tmp_path), "--no-epoch-checkpoints", "--no-progress-bar",
         "--disable-validation"]
    )  # fmt: skip
    stock, ours = state_of(tmp_path / "checkpoint_last.pt"), state_of(folder / "checkpoint")
    assert stock.keys() == ours.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, stock[name]), name


def test_the_plug_in_records_under_fairseq_train_and_across_its_restarts(tokens, tmp_path):
    model = parse_model("clm-en")
    training = tiny_training(model)
    arguments = fairseq_arguments(model, training, tokens["clm"], 1, "cpu")
    assert arguments[arguments.index("--user-dir") + 1] == str(PLUGIN)
    parts = tmp_path / "parts"
    arguments += ["--save-dir", str(tmp_path / "save"), "--lca-parts", str(parts)]
    arguments += ["--no-epoch-checkpoints", "--save-interval-updates", "4"]
    arguments += ["--keep-interval-updates", "1", "--disable-validation"]
    # Within one epoch: at its end, fairseq itself does not go on with the same batches.
    arguments[arguments.index("--max-update") + 1] = "4"
    fairseq_train(arguments)
    store = PartStore(parts)
    store.check_complete(4)
    # As if it had gone on and been killed before the next checkpoint.
    (parts / "part-000000005-000000006.nc").write_bytes(b"later than the checkpoint")
    arguments[arguments.index("--max-update") + 1] = "8"
    fairseq_train(arguments)
    store.check_complete(8)
    whole = in_process(tmp_path / "state", "clm", tokens)
    whole.run(lambda update, numbers: None, lambda: whole.updates == 8)
    np.testing.assert_array_equal(
        np.concatenate(list(columns(store))), np.concatenate(list(columns(whole.store)))
    )


def test_another_training_does_not_write_into_the_parts_of_a_first(tokens, tmp_path):
    first = in_process(tmp_path, "clm", tokens, total_updates=10)
    first.run(lambda update, numbers: None, lambda: False)
    kept = {path: path.read_bytes() for _, _, path in first.store.parts()}
    first.task.recorder = None
    trainer = first.trainer
    with pytest.raises(CubeError, match="parts of another training"):
        first.task.start_recording(
            trainer.optimizer, trainer.get_model(), 0, trainer.get_criterion()
        )
    assert {path: path.read_bytes() for _, _, path in first.store.parts()} == kept


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


def test_a_full_disk_ends_clearly_and_loses_nothing(tokens, tmp_path, straight):
    objective, folder = straight
    if objective != "clm":
        pytest.skip("one objective is enough")
    run_to(tmp_path, tokens, 10)
    # Half of a checkpoint: more than a part of the cube needs.
    size = max(p.stat().st_size for p in (tmp_path / "state" / "checkpoints").iterdir()) // 2

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    message = run(command(tmp_path, "clm", tokens), status=1, preexec_fn=limit)
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
        training.task.recorder._rings["batch"]._table[0, 0] = float("inf")

    with pytest.raises(RecordingError, match="update 1: the loss change of"):
        training.run(spoil, lambda: True)


def test_what_goes_with_a_checkpoint_is_saved_before_it(tokens, tmp_path):
    """Killed in between, it is dropped; the other way round it would be lost."""
    training, seen = in_process(tmp_path, "clm", tokens, total_updates=2, warmup_updates=1), []
    checkpoints = tmp_path / "checkpoints"
    training._before_save = lambda: seen.append(sorted(p.name for p in checkpoints.iterdir()))
    training.run(lambda update, numbers: None, lambda: False)
    assert seen == [[]]


def run_to(folder, tokens, update):
    """Run a training in this process up to an update, as train_model.py would have left it."""
    process = subprocess.Popen(
        command(folder, "clm", tokens), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_for_update(process, folder, update)
    process.kill()
    process.wait()
    for path in (folder / "state" / "checkpoints").iterdir():
        if int(path.stem[11:]) > update:
            path.unlink()
