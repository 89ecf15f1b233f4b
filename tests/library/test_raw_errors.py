"""What would have ended in an error nobody understands, or in another training."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from library_reference import Reference, batch_loss, gradients_in_float64
from losschange.cube.format import open_cube
from losschange.errors import RecordingError
from losschange.recording.attachment import attach
from small_models import (
    MLP_SCHEMA,
    PROBES,
    Mlp,
    attach_to,
    make_optimizer,
    make_transformer,
    train,
    transformer_schema,
    word_loss,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"seed": None}, "'seed' is None, of type NoneType; a cube keeps texts and numbers"),
        ({"data": Path("/data")}, "'data' is PosixPath"),
        ({"options": {"a": 1}}, "'options' is .* of type dict"),
        ({"layers": []}, "'layers' is"),
        ({"tied": True}, "'tied' is True, of type bool"),
        ({1: "one"}, "the attribute 1 is 'one'"),
        ({"cube_format": 7}, "'cube_format' is the cube's own"),
    ],
)
def test_attributes_that_a_cube_cannot_hold_are_refused_at_once(tmp_path, attributes, message):
    model = make_transformer()
    optimizer = make_optimizer(model)
    with pytest.raises(RecordingError, match=message):
        attach_to(model, optimizer, tmp_path / "parts", attributes=attributes)
    assert not (tmp_path / "parts").exists()
    recorder = attach_to(
        model, optimizer, tmp_path / "parts", attributes={"a": "b", "c": 1, "d": np.float64(2)}
    )
    train(model, optimizer, 2, recorder)
    with pytest.raises(RecordingError, match=message):
        recorder.finish(tmp_path / "cube.nc", attributes)
    recorder.finish(tmp_path / "cube.nc", {"betas": [0.9, 0.99]})
    with open_cube(tmp_path / "cube.nc") as cube:
        assert cube.attrs["a"] == "b" and cube.attrs["c"] == 1
        assert cube.attrs["betas"].tolist() == [0.9, 0.99]


def test_float64_and_several_devices_are_refused_in_words(tmp_path):
    model = make_transformer().double()
    with pytest.raises(RecordingError, match=r"'embedding\.weight' is torch\.float64; .*float\(\)"):
        attach_to(model, make_optimizer(model), tmp_path / "parts")
    model = make_transformer()
    model.norm.to("meta")
    with pytest.raises(RecordingError, match="lie on cpu, meta; the recorder needs them all"):
        attach_to(model, make_optimizer(model), tmp_path / "parts")
    lazy = torch.nn.LazyLinear(3)
    with pytest.raises(RecordingError, match="'weight' has no shape yet; run a batch"):
        attach(lazy, torch.optim.SGD(lazy.parameters(), lr=0.1), MLP_SCHEMA, tmp_path / "parts")
    assert not (tmp_path / "parts").exists()


OTHER = make_transformer(seed=9)


@pytest.mark.parametrize("estimator", ["probe", "fresh"])
@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda model: model(torch.zeros(1, 4, dtype=torch.long)), r"a tensor of shape \(1, 4, 23"),
        (lambda model: PROBES["train"](OTHER), "does not depend on any trained parameter"),
        (lambda model: PROBES["train"](model).detach(), "does not depend on any trained parameter"),
        (lambda model: PROBES["train"](model).item(), r"is \d\.\d+; it must be one number"),
        (lambda model: None, "is None; it must be one number"),
    ],
)
def test_a_probe_that_is_no_loss_of_the_model_is_refused(tmp_path, loss, message, estimator):
    model = make_transformer()
    optimizer = make_optimizer(model)
    recorder = attach_to(
        model, optimizer, tmp_path / "parts", estimators=[estimator], probes={"train": loss},
        fresh=lambda model, update: loss(model),
    )  # fmt: skip
    with pytest.raises(RecordingError, match=message):
        train(model, optimizer, 1, recorder)


def test_a_probe_that_changes_the_model_is_refused(tmp_path):
    model = make_transformer()

    def probe(model):
        with torch.no_grad():
            model.norm.weight.mul_(0.999)
        return PROBES["train"](model)

    optimizer = make_optimizer(model)
    attach_to(model, optimizer, tmp_path / "parts", estimators=["probe"], probes={"train": probe})
    with pytest.raises(RecordingError, match=r"changed a parameter of shape \(12,\)"):
        train(model, optimizer, 1)


def test_an_embedding_with_a_largest_norm_is_refused(tmp_path):
    model = make_transformer()
    model.embedding.max_norm = 1.0
    with pytest.raises(RecordingError, match="'embedding' has max_norm=1.0: every look"):
        attach_to(model, make_optimizer(model), tmp_path / "parts")


class Counting(torch.nn.Module):
    """A layer that changes a buffer whenever it is used, in whatever mode."""

    def __init__(self):
        super().__init__()
        self.register_buffer("uses", torch.zeros(()))

    def forward(self, inputs):
        self.uses += 1
        return inputs * (1 + 1e-3 * self.uses)


def test_buffers_are_what_they_were_after_a_probe(tmp_path):
    models = []
    for recording in (False, True):
        model = make_transformer(dropout=0.1)
        model.norm = torch.nn.Sequential(model.norm, Counting())
        schema = transformer_schema()
        rule = type(schema.rules[0])(r"norm\.0\.\w+", "norm", 3)
        schema = type(schema)(schema.stacks, schema.heads, (*schema.rules, rule))
        optimizer = make_optimizer(model)
        if recording:
            attach_to(
                model, optimizer, tmp_path, schema=schema, estimators=["probe", "simpson", "fresh"]
            )
        torch.manual_seed(0)
        train(model, optimizer, 3)
        models.append(model)
    for one, other in zip(*(model.state_dict().values() for model in models)):
        assert torch.equal(one, other)


def test_a_model_converted_after_attaching_is_refused_in_words(tmp_path):
    model = make_transformer()
    optimizer = make_optimizer(model)
    attach_to(model, optimizer, tmp_path / "parts")
    train(model, optimizer, 1)
    model.bfloat16()
    with pytest.raises(
        RecordingError,
        match=r"update 2: 'embedding\.weight' is now torch\.bfloat16 .* was torch\.f",
    ):
        train(model, optimizer, range(2, 3))


class WithEmpty(Mlp):
    """An Mlp with a parameter that holds no scalar."""

    def __init__(self):
        super().__init__()
        self.empty = torch.nn.Parameter(torch.zeros(0, 4))


def test_an_empty_parameter_is_left_out(tmp_path):
    torch.manual_seed(0)
    model = WithEmpty()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    recorder = attach(model, optimizer, MLP_SCHEMA, tmp_path / "parts")
    inputs = torch.randn(8, 5)
    for _ in range(3):
        optimizer.zero_grad()
        model(inputs).square().mean().backward()
        optimizer.step()
    recorder.finish(tmp_path / "cube.nc")
    with open_cube(tmp_path / "cube.nc") as cube:
        assert float(cube["n_parameters"].sum()) == sum(p.numel() for p in model.parameters())
        assert (cube["lca"].sum(("layer", "component", "head")) < 0).all()


def test_sparse_gradients_are_counted(tmp_path):
    model = make_transformer()
    model.embedding.sparse = True
    sparse = torch.optim.SparseAdam([model.embedding.weight], lr=1e-2)
    rest = torch.optim.SGD([p for p in model.parameters() if p is not model.embedding.weight], 0.1)
    recorder = attach_to(model, [sparse, rest], tmp_path / "parts", estimators=["probe", "fresh"])
    reference = Reference(model)
    for update in range(1, 4):
        loss = batch_loss(update)
        model.zero_grad()
        loss(model).backward()
        assert model.embedding.weight.grad.is_sparse
        model.embedding.sparse = False
        expected = gradients_in_float64(model, loss)
        model.embedding.sparse = True
        reference.before(expected)
        sparse.step()
        rest.step()
        reference.after()
    recorder.finish(tmp_path / "cube.nc")
    reference.check(tmp_path / "cube.nc")


def test_gradients_of_the_wrong_size_are_named(tmp_path):
    model = make_transformer()
    optimizer = make_optimizer(model)
    recorder = attach_to(model, optimizer, tmp_path / "parts").recorder
    parameters = list(model.parameters())
    gradients = [torch.ones_like(parameter) for parameter in parameters]
    for wrong, message in (
        (gradients[:-1], r"update 1: \d+ gradients of \d+ parameters"),
        ([torch.ones(1), *gradients[1:]], r"gradient of 'embedding\.weight' has shape \(1,\)"),
    ):
        recorder.before_update(parameters)
        with pytest.raises(RecordingError, match=message):
            recorder.after_update(parameters, wrong)


def test_what_is_not_finite_ends_the_training_at_once(tmp_path):
    model = make_transformer()
    optimizer = make_optimizer(model)
    recorder = attach_to(model, optimizer, tmp_path / "parts")

    def spoil(update):
        if update == 3:
            model.layers[0].key.weight.grad[0, 0] = float("nan")

    with pytest.raises(RecordingError, match="update 3: .* key head 0 .* is nan"):
        train(model, optimizer, 10, recorder, change=spoil)
    assert recorder.recorder.updates == 3


class NoOptimizer:
    def step(self):
        pass


def test_what_is_no_optimizer_is_refused_before_parts_are_touched(tmp_path):
    model = make_transformer()
    optimizer = make_optimizer(model)
    recorder = attach_to(model, optimizer, tmp_path / "parts")
    train(model, optimizer, 2, recorder)
    recorder.save()
    train(model, optimizer, range(3, 5), recorder)
    recorder.save()
    recorder.detach()
    before = sorted((tmp_path / "parts").glob("part*"))
    with pytest.raises(RecordingError, match="NoOptimizer is no optimizer: it lacks step"):
        attach_to(model, NoOptimizer(), tmp_path / "parts", updates=2)
    assert sorted((tmp_path / "parts").glob("part*")) == before


def test_parameters_moved_before_the_end_do_not_end_an_interval(tmp_path):
    model = make_transformer()
    optimizer = make_optimizer(model)
    recorder = attach_to(model, optimizer, tmp_path / "parts", estimators={"simpson": 2})
    train(model, optimizer, 3, recorder)
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.5)
    with pytest.raises(
        RecordingError, match="was moved after update 3, .* Put the parameters back"
    ):
        recorder.finish(tmp_path / "cube.nc")
    model.load_state_dict(kept)
    recorder.finish(tmp_path / "cube.nc")
    with open_cube(tmp_path / "cube.nc") as cube:
        assert cube["step_simpson"].values.tolist() == [2, 3]


SHARDED = """
import sys, torch
import torch.distributed as dist
from losschange.errors import RecordingError
from losschange.recording.attachment import attach
from small_models import MLP_SCHEMA, Mlp

store = dist.FileStore(sys.argv[1] + "/store", 1)
dist.init_process_group("gloo", store=store, rank=0, world_size=1)
from torch.distributed.fsdp import FullyShardedDataParallel
model = FullyShardedDataParallel(Mlp(), device_id=torch.device("cpu"))
try:
    attach(model, torch.optim.SGD(model.parameters(), lr=0.1), MLP_SCHEMA, sys.argv[1] + "/parts")
except RecordingError as error:
    print("refused:", error)
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_flat_sharded_models_are_refused_in_words(tmp_path):
    here = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", SHARDED, str(tmp_path)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(here), str(here.parent / "scripts")]),
        },
        capture_output=True,
        text=True,
    )
    assert "refused:" in done.stdout and "divide the model with" in done.stdout, (
        done.stdout + done.stderr[-2000:]
    )
    assert not (tmp_path / "parts").exists()


def test_recording_does_not_change_a_bit_of_any_training(tmp_path):
    for kind in ("AdamW", "NAdam", "SGD", "Adagrad", "Rprop"):
        trained = []
        for recording in (False, True):
            model = make_transformer(dropout=0.3)
            optimizer = getattr(torch.optim, kind)(model.parameters(), lr=1e-3)
            if recording:
                attach_to(
                    model, optimizer, tmp_path / kind, estimators=["probe", "simpson", "fresh"]
                )
            torch.manual_seed(3)
            train(model, optimizer, 4)
            trained.append(model)
        for one, other in zip(*(model.parameters() for model in trained)):
            assert torch.equal(one, other)
        assert word_loss(trained[0], torch.zeros(1, 5, dtype=torch.long)).isfinite()
