"""A cube from a series of checkpoints: its values, its files, and resuming it."""

import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from checkpoint_series import (
    STEPS,
    loss_of,
    make_ids,
    pythia,
    save_pretrained,
    train_series,
)
from losschange import record_checkpoints, summarise_cube
from losschange.checkpoints.models import make_model
from losschange.checkpoints.series import find_checkpoints
from losschange.checkpoints.stored import StoredTensors
from losschange.command import main
from losschange.cube.format import open_cube
from losschange.recording.partition import partition_parameters
from losschange.schemas import schema_for

TEXT, OTHER = make_ids(5), make_ids(9)
SETTINGS = {"context": 20, "batch_tokens": 200}


def rows_of(ids):
    return ids.view(-1, 20)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A folder with run/step0 ... step60, and recorded.nc of the training itself."""
    folder = tmp_path_factory.mktemp("series")
    train_series(
        folder,
        save_pretrained(folder / "run"),
        parts=folder / "parts",
        text=lambda model: loss_of(model, rows_of(TEXT)),
    )
    return folder


@pytest.fixture(scope="module")
def cubes(recorded):
    """The cubes of two texts under the default tolerance."""
    texts = {"train": TEXT, "other": OTHER}
    return record_checkpoints(recorded / "run", texts, recorded / "out", **SETTINGS)


def sums(cube, estimator):
    return cube[f"lca_{estimator}"].astype(float).sum(("layer", "component", "head")).values


def test_the_sum_of_every_interval_is_that_which_the_training_recorded(recorded, cubes):
    with open_cube(cubes["train"]) as cube, xr.open_dataset(recorded / "recorded.nc") as training:
        assert cube["step"].values.tolist() == [3, 10, 30, 60]
        running = np.concatenate([[0], np.cumsum(sums(training, "simpson"))])
        expected = np.diff(running[list(STEPS)])
        np.testing.assert_allclose(sums(cube, "simpson"), expected, atol=2e-4)
        losses = training["simpson_loss"].values
        np.testing.assert_allclose(cube["simpson_loss"], losses[[2, 9, 29, 59]], atol=1e-5)


def test_a_split_interval_adds_up_within_the_tolerance_where_the_trapezoid_rule_does_not(cubes):
    with open_cube(cubes["train"]) as cube:
        change = float(cube["simpson_loss"][-1] - cube["simpson_loss_before"][0])
        assert change < -2
        errors = np.abs(cube["simpson_error"].values)
        assert errors.max() < 1.1e-4
        assert abs(cube["probe_error"].values.sum()) > 50 * errors.sum()
        assert cube["probe_evaluations"].values.tolist() == [1] * 4
        looked = cube["simpson_evaluations"].values
        assert looked.min() >= 2 and looked.max() > 5
        changes = (cube["simpson_loss"] - cube["simpson_loss_before"]).values
        found = sums(cube, "simpson") - changes
        np.testing.assert_allclose(cube["simpson_error"], found, atol=1e-6)


def test_cells_equal_an_independent_reference_in_float64(recorded, cubes):
    """Gauss's rule with 20 points on the straight way, by autograd in float64."""
    model = pythia().double()
    schema = schema_for(model)
    partition = partition_parameters(((n, p.shape) for n, p in model.named_parameters()), schema)
    owners = torch.from_numpy(partition.block_cells).repeat_interleave(partition.block)
    states = []
    for update in (0, 3):
        loaded = type(model).from_pretrained(recorded / "run" / f"step{update}")
        states.append([p.detach().double() for p in loaded.parameters()])
    steps = [b - a for a, b in zip(*states)]
    expected = np.zeros(len(partition.layout.cells))
    points, weights = np.polynomial.legendre.leggauss(20)
    for point, weight in zip((points + 1) / 2, weights / 2):
        with torch.no_grad():
            for parameter, start, step in zip(model.parameters(), states[0], steps):
                parameter.copy_(start + point * step)
        found = torch.autograd.grad(loss_of(model, rows_of(TEXT)), list(model.parameters()))
        for gradient, step, offset in zip(found, steps, partition.offsets):
            owner = owners[offset : offset + gradient.numel()].numpy()
            product = (gradient * step).flatten().numpy()
            expected += weight * np.bincount(owner, product, minlength=len(expected))
    fine = record_checkpoints(
        [recorded / "run" / "step0", recorded / "run" / "step3"], TEXT, recorded / "fine",
        tolerance=1e-6, most_evaluations=129, **SETTINGS,
    )  # fmt: skip
    with open_cube(fine["text"]) as cube:
        cells = partition.layout.from_grid(cube["lca_simpson"].values)[0]
    largest = np.abs(expected).max()
    assert np.abs(cells - expected).max() < 1e-5 * largest


def test_there_is_no_batch_and_the_summary_copes(cubes, capsys):
    with open_cube(cubes["train"]) as cube:
        assert "lca" not in cube
        assert np.isnan(cube["loss"]).all()
        change = float(cube["simpson_loss"][-1] - cube["simpson_loss_before"][0])
    summary = summarise_cube(cubes["train"])
    assert summary["estimator"].values.tolist() == ["probe", "simpson"]
    assert summary["coverage"].values.tolist() == [1, 1]
    simpson = summary.sel(estimator="simpson")
    assert float(simpson["total"]) == pytest.approx(change, abs=1e-3)
    assert float(simpson["over_count"].sel(measure="training_probe")) == pytest.approx(1, abs=1e-3)
    assert float(simpson["binned_total"].sum()) == pytest.approx(change, abs=1e-3)
    for name in (str(cubes["train"]), str(cubes["train"].parent / "parts" / "train")):
        assert main(["show", name]) == 0
        shown = capsys.readouterr().out
        assert "update         60" in shown and "estimator simpson" in shown and "nan" not in shown


def test_a_look_is_one_pass_and_three_vectors_of_the_models_size_are_in_memory(recorded, tmp_path):
    model = pythia()
    size, sizes = 4 * sum(p.numel() for p in model.parameters()), []
    del model

    def held():
        """Bytes of all tensors that this process has."""
        kinds = (torch.Tensor, torch.nn.Parameter)  # without tensors that have no storage
        tensors = [one for one in gc.get_objects() if type(one) in kinds]
        storages = [t.untyped_storage() for t in tensors if t.layout == torch.strided]
        return sum({one.data_ptr(): one.nbytes() for one in storages}.values())

    before = held()

    def text(model):
        sizes.append(held() - before)
        return loss_of(model, rows_of(TEXT))

    cube = record_checkpoints(recorded / "run", text, tmp_path / "out", **SETTINGS)["text"]
    with open_cube(cube) as found:
        assert len(sizes) == int(found["simpson_evaluations"].sum()) + 1
    # Beside the three, what every model has of its own: buffers and the text's token ids.
    assert 2.9 * size < max(sizes) < 4 * size


def test_several_texts_at_once_are_those_one_by_one(recorded, cubes):
    alone = record_checkpoints(recorded / "run", {"other": OTHER}, recorded / "alone", **SETTINGS)
    with open_cube(alone["other"]) as one, open_cube(cubes["other"]) as together:
        assert np.array_equal(one["lca_simpson"], together["lca_simpson"], equal_nan=True)
        assert together.attrs["text"] == "other" and together.attrs["text_tokens"] == 380
    with open_cube(cubes["train"]) as train, open_cube(cubes["other"]) as other:
        assert not np.array_equal(train["simpson_loss"], other["simpson_loss"])


def test_nothing_is_found_between_two_copies_of_a_checkpoint(recorded, tmp_path):
    for update in (1, 2):
        shutil.copytree(recorded / "run" / "step30", tmp_path / "run" / f"step{update}")
    cube = record_checkpoints(tmp_path / "run", TEXT, tmp_path / "out", **SETTINGS)["text"]
    with open_cube(cube) as found:
        for estimator in ("probe", "simpson"):
            assert (found[f"lca_{estimator}"].fillna(0) == 0).all()
            assert float(found[f"{estimator}_error"][0]) == 0
        assert float(found["simpson_loss"][0]) == float(found["simpson_loss_before"][0])


def as_file(kind):
    """A way to save a model: what it makes of a folder, a number and the model."""

    def save(folder, model, update):
        folder.mkdir(exist_ok=True)
        state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        if kind == "safetensors":
            from safetensors.torch import save_file

            save_file(state, folder / f"model-{update}.safetensors")
        elif kind == "plain":
            torch.save(state, folder / f"ckpt_{update}.pt")
        elif kind == "nested":
            state = {f"_orig_mod.{name}": tensor for name, tensor in state.items()}
            torch.save({"model": state, "step": update}, folder / f"epoch{update}.pth")
        elif kind == "old":
            torch.save(state, folder / f"{update}.bin", _use_new_zipfile_serialization=False)
        elif kind == "sharded":
            model.save_pretrained(folder / f"checkpoint-{update}", max_shard_size="5KB")
            index = folder / f"checkpoint-{update}" / "model.safetensors.index.json"
            assert len(set(json.loads(index.read_text())["weight_map"].values())) > 1
        elif kind == "bin":
            place = folder / f"step{update}-tokens{update}M"
            model.save_pretrained(place)
            (place / "model.safetensors").unlink()
            torch.save(state, place / "pytorch_model.bin")

    return save


@pytest.mark.parametrize("kind", ["safetensors", "plain", "nested", "old", "sharded", "bin"])
def test_every_kind_of_file_gives_the_same_cube(recorded, cubes, tmp_path, kind):
    for update in STEPS:
        model = type(pythia()).from_pretrained(recorded / "run" / f"step{update}")
        as_file(kind)(tmp_path / "run", model, update)
    given = None if kind in ("sharded", "bin") else recorded / "run" / "step0" / "config.json"
    cube = record_checkpoints(
        tmp_path / "run", {"train": TEXT}, tmp_path / "out", model=given, **SETTINGS
    )["train"]
    with open_cube(cube) as found, open_cube(cubes["train"]) as expected:
        assert np.array_equal(found["step"], expected["step"])
        assert np.array_equal(found["lca_simpson"], expected["lca_simpson"], equal_nan=True)


def test_half_precision_is_read_as_float32(recorded, tmp_path):
    for update in (30, 60):
        model = type(pythia()).from_pretrained(recorded / "run" / f"step{update}")
        model.to(torch.bfloat16).save_pretrained(tmp_path / "run" / f"step{update}")
    cube = record_checkpoints(tmp_path / "run", TEXT, tmp_path / "out", **SETTINGS)["text"]
    with open_cube(cube) as found:
        assert abs(float(found["simpson_error"][0])) < 1.1e-4


def test_a_model_whose_stored_matrices_transformers_has_to_join(tmp_path):
    """Mixtral's experts are stored one by one, and are one tensor in the model."""
    from offline_transformers import import_transformers

    transformers = import_transformers()
    config = transformers.MixtralConfig(
        vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=1,
        num_attention_heads=4, num_key_value_heads=2, num_local_experts=3, num_experts_per_tok=3,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.MixtralForCausalLM(config)
    train_series(tmp_path, save_pretrained(tmp_path / "run"), (0, 2), model)
    with StoredTensors(find_checkpoints(tmp_path / "run")[0]) as stored:
        assert any("experts.1.w1" in name for name in stored.shapes)
    cube = record_checkpoints(tmp_path / "run", TEXT, tmp_path / "out", **SETTINGS)["text"]
    with open_cube(cube) as found:
        assert abs(float(found["simpson_error"][0])) < 1.1e-4
        router = found["lca_simpson"].sel(component="router").sum()
        experts = found["lca_simpson"].sel(component="W1").isel(head=[1, 2, 3])
        assert float(router) != 0 and (experts.max("head")[0, 1] != experts.min("head")[0, 1])


PROGRAM = """
import os, signal, sys
sys.path[:0] = {path!r}
from losschange import record_checkpoints
from test_from_checkpoints_program import SETTINGS, TEXTS

def progress(line):
    print(line, flush=True)
    if line.startswith({until!r}):
        os.kill(os.getpid(), signal.SIGKILL)

record_checkpoints({run!r}, TEXTS, {out!r}, progress=progress, **SETTINGS)
"""


def run_apart(tmp_path, run, out, until, before=""):
    """Record in a process of its own that kills itself after a line."""
    (tmp_path / "test_from_checkpoints_program.py").write_text(
        textwrap.dedent(f"""
            import torch
            torch.set_num_threads({torch.get_num_threads()})
            SETTINGS = {SETTINGS!r}
            TEXTS = {{"train": {TEXT.tolist()!r}, "other": {OTHER.tolist()!r}}}
        """)
    )
    scripts = str(Path(__file__).parents[2] / "scripts")
    program = before + PROGRAM.format(
        path=[scripts, str(tmp_path)], until=until, run=str(run), out=str(out)
    )
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )


@pytest.mark.slow
def test_after_kill_9_it_goes_on_to_the_same_bytes(recorded, cubes, tmp_path):
    """Killed when one of two texts is recorded in the third of four intervals."""
    done = run_apart(tmp_path, recorded / "run", tmp_path / "out", "updates 10 to 30, train")
    assert done.returncode == -signal.SIGKILL, done.stderr
    kept = sorted((tmp_path / "out" / "parts").rglob("part-*.nc"))
    assert kept and not (tmp_path / "out" / "train.nc").exists()
    times = [path.stat().st_mtime_ns for path in kept]
    (kept[0].parent / ".part-000000004-000000010.nc.1.tmp").write_text("torn")
    lines = []
    again = record_checkpoints(
        recorded / "run", {"train": TEXT, "other": OTHER}, tmp_path / "out",
        progress=lines.append, **SETTINGS,
    )  # fmt: skip
    assert "recorded before" in lines[0]
    assert [path.stat().st_mtime_ns for path in kept] == times
    assert not list((tmp_path / "out").rglob("*.tmp"))
    for name, path in again.items():
        assert path.read_bytes() == cubes[name].read_bytes()


@pytest.mark.slow
def test_without_space_left_what_was_recorded_stays(recorded, cubes, tmp_path):
    """A limit on the size of files stands for a full disk; parts fit, the whole cube does not."""
    size = max(path.stat().st_size for path in (recorded / "out/parts/train").iterdir())
    limit = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({size + 1}, {size + 1}))
"""
    done = run_apart(tmp_path, recorded / "run", tmp_path / "out", "never", limit)
    assert done.returncode == 1
    assert "train.nc could not be written" in done.stderr.splitlines()[-1]
    assert "is there room for it" in done.stderr.splitlines()[-1]
    assert not list((tmp_path / "out").rglob("*.tmp"))
    texts = {"train": TEXT, "other": OTHER}
    again = record_checkpoints(recorded / "run", texts, tmp_path / "out", **SETTINGS)
    assert again["train"].read_bytes() == cubes["train"].read_bytes()


def test_the_command_makes_the_cubes_and_tells_how_far_it_is(recorded, cubes, tmp_path, capsys):
    np.save(tmp_path / "ids.npy", TEXT.numpy())
    (tmp_path / "other.json").write_text(json.dumps(OTHER.tolist()))
    status = main(
        [
            "from-checkpoints", *(str(recorded / "run" / f"step{step}") for step in STEPS),
            "--text", f"train={tmp_path / 'ids.npy'}", "--text", str(tmp_path / "other.json"),
            "--output", str(tmp_path / "out"), "--context", "20", "--batch-tokens", "200",
        ]
    )  # fmt: skip
    out, errors = capsys.readouterr()
    assert status == 0, errors
    assert "3 of 4 done, about 0:0" in errors and "updates 30 to 60, other" in errors
    assert "Traceback" not in errors
    for name in ("train", "other"):
        assert f"cube of {name}: {tmp_path / 'out' / name}.nc" in out
        assert (tmp_path / "out" / f"{name}.nc").read_bytes() == cubes[name].read_bytes()


def test_the_command_schema_prints_the_cells_of_a_configuration(recorded, capsys):
    assert main(["schema", str(recorded / "run" / "step0"), "--rules"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["layer", "component", "cells", "parameters"]
    (query,) = [line for line in lines if "query by head" in line]
    assert query.split() == ["query", "by", "head", "4", "256"]
    (total,) = [line for line in lines if line.startswith("all")]
    model = make_model(recorded / "run" / "step0")
    assert total.endswith(f"{sum(p.numel() for p in model.parameters()):,}")
    assert main(["schema", str(recorded / "absent")]) == 1
    assert capsys.readouterr().err.startswith("error: there is no file or folder")
