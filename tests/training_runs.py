"""Tiny trainings by train_model.py and in this process, for the tests of the fairseq plug-in."""

import argparse
import json
import sys
import time

import numpy as np
import torch

from losschange.cube.format import open_cube
from losschange_fairseq.training import DutyIntervals, ResumableTraining
from prepared_processes import PreparedProcess, run_prepared
from running.models import parse_model
from tiny_trainings import RECORDING, ROOT, split_changes, tiny_training
from training.fairseq_arguments import fairseq_arguments

SCRIPT = ROOT / "scripts" / "train_model.py"
NAMES = {
    "clm": "clm-en",
    "mlm": "mlm-en",
    "mt": "mt-en-de",
}
# Models of all objectives, those of the paper first.
ALL_NAMES = NAMES | {"plm": "plm-en", "dae": "dae-en"}
UPDATES = 30
# Of the faster ways.
SWITCHES = ("fast_layers", "fast_cross_entropy", "fast_optimizer", "fast_masking")
OUTPUTS = ("cube", "checkpoint", "history", "settings")


def command(folder, objective, tokens, **changes):
    """The call of train_model.py that trains a tiny model into a folder."""
    model = parse_model(ALL_NAMES[objective])
    changes, execution = split_changes(changes)
    training = json.dumps(tiny_training(model, **changes))
    outputs = [part for name in OUTPUTS for part in (f"--{name}", str(folder / name))]
    return [
        *(sys.executable, "-B", str(SCRIPT), "--model", model.name, "--training", training),
        *("--execution", json.dumps(execution), "--recording", json.dumps(RECORDING)),
        *("--tokens", str(tokens[objective]), "--seed", "1", "--state", str(folder / "state")),
        *outputs,
    ]


def run(arguments, status=0, **options):
    """Run train_model.py to its end; its stderr."""
    done = run_prepared(arguments, **options)
    assert done.returncode == status, done.stderr
    return done.stderr


def in_process(folder, objective, tokens, files=None, **changes):
    """The same training in this process, with `batch` alone, not yet run."""
    model = parse_model(ALL_NAMES[objective])
    changes, execution = split_changes(changes)
    training = tiny_training(model, **changes)
    intervals = DutyIntervals(
        training["total_updates"],
        execution["validation_interval"],
        execution["checkpoint_interval"],
    )
    arguments = fairseq_arguments(
        model,
        training,
        tokens[objective],
        1,
        "cpu",
        data_workers=execution["data_workers"],
        files=files,
    )
    return ResumableTraining(arguments, folder, intervals)


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


def check_same_model(one, other):
    """Two folders of outputs hold the same parameters, to the bit."""
    one, other = state_of(one / "checkpoint"), state_of(other / "checkpoint")
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def columns(store):
    """What every part recorded: arrays (updates, numbers)."""
    for _, _, path in store.parts():
        with open_cube(path) as cube:
            yield np.concatenate(
                [cube["lca"].values.reshape(cube.sizes["step"], -1)]
                + [cube[name].values[:, None] for name in ("loss", "lr", "grad_norm", "tokens")],
                axis=1,
            )


def run_killed_after(arguments, folder, update):
    """Run train_model.py and kill it once it has saved an update, or a later one."""
    process = PreparedProcess(arguments)
    wait_for_update(process, folder, update)
    process.kill()
    process.wait()


def run_to(folder, tokens, update):
    """What a training leaves that is killed after an update, and none after it is saved."""
    run_killed_after(command(folder, "clm", tokens), folder, update)
    for path in (folder / "state" / "checkpoints").iterdir():
        if int(path.stem[11:]) > update:
            path.unlink()
