"""Real trainings with fairseq: what they record, and that stock fairseq makes the same updates."""

import json
import sys

import numpy as np
import pytest
import torch

from losschange.cube.format import open_cube
from losschange.cube.layout import CubeError
from losschange.cube.parts import PartStore
from losschange_fairseq.settings import settings_as_run
from objectives import OBJECTIVES
from prepared_processes import run_prepared
from running.models import parse_model
from tiny_trainings import tiny_training
from training.fairseq_arguments import PLUGIN, fairseq_arguments
from training_runs import NAMES, OUTPUTS, UPDATES, columns, command, in_process, run, state_of

# fairseq and hydra warn about their own use of torch and of each other.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore"),
]

# What stock fairseq does not know.
SLOW = {
    **dict.fromkeys(("fast_layers", "fast_cross_entropy", "fast_optimizer", "fast_masking"), False),
    "micro_batches": "stock",
}


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
        if name in settings["as_run"] and name not in ("norm", "precision", "micro_batches"):
            assert settings["as_run"][name] == asked, name


def test_the_cube_tells_what_happened(straight):
    objective, folder = straight
    with open_cube(folder / "cube") as cube:
        assert cube.sizes["step"] == UPDATES and cube.attrs["model"] == NAMES[objective]
        ran = {name: cube.attrs[name] for name in ("device", "workers", "threads", "precision")}
        assert ran == {"device": "cpu", "workers": 1, "threads": 1, "precision": "fp32"}
        assert cube.attrs["micro_batches"] >= 1 and cube.attrs["attention_kernel"]
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


SGD = {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.1, "fast_optimizer": False}


@pytest.mark.parametrize(
    ("objective", "changes"),
    [*((objective, {}) for objective in NAMES), ("clm", {"clip_norm": 0.1}), ("clm", SGD)],
)
def test_the_cube_equals_a_slow_reference(objective, changes, tokens, tmp_path):
    """fairseq's Trainer stepped by hand; autograd's gradients, float64, tensor by tensor."""
    training = in_process(tmp_path, objective, tokens, dropout=0.0, **changes)
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
    ran = settings_as_run(trainer.cfg, model)
    asked = SGD if changes == SGD else {"optimizer": "adam", "adam_betas": [0.9, 0.98]}
    assert asked.items() <= ran.items()


def fairseq_train(arguments):
    """fairseq-train itself, in a process of its own."""
    code = (
        "import argparse, torch\n"
        "torch.set_num_threads(1)\n"
        "torch.serialization.add_safe_globals([argparse.Namespace])\n"
        "from fairseq_cli.train import cli_main; cli_main()\n"
    )
    done = run_prepared([sys.executable, "-c", code, *arguments])
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout + done.stderr


STOCK_TASKS = {one.task: one.fairseq_task for one in OBJECTIVES.values()}


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
