"""What an ordinary training does to its model or optimizer while it is recorded."""

import copy
import logging
import pickle
from types import SimpleNamespace

import pytest
import torch
from test_hidden_changes import Own
from test_optimizers_reference import CallsItsBase, NoBase, run, schedule_free
from torch import nn
from torch.utils.checkpoint import checkpoint

from library_reference import Reference, batch_loss, gradients_in_float64
from losschange import attach
from losschange.cube.format import open_cube
from losschange.errors import RecordingError
from losschange.recording.parameters import check_recordable
from small_models import attach_to, make_optimizer, make_transformer

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("kind", [torch.optim.AdamW, Own, CallsItsBase, NoBase])
def test_a_compiled_step_is_recorded_at_every_update(tmp_path, kind):
    """PyTorch's translation of the step; what a compiler then makes of it calls the same hooks."""
    model = make_transformer()
    optimizer = kind(model.parameters(), lr=3e-3)
    step = torch.compile(lambda: optimizer.step(), backend="eager")
    recorder = attach_to(model, optimizer, tmp_path / "parts", estimators=["probe"])
    reference = Reference(model)
    for update in range(1, 5):
        loss = batch_loss(update)
        optimizer.zero_grad()
        loss(model).backward()
        reference.before(gradients_in_float64(model, loss))
        step()
        reference.after()
    torch.compiler.reset()
    recorder.finish(tmp_path / "cube.nc")
    reference.check(tmp_path / "cube.nc")


def test_a_parameter_that_another_optimizer_takes_over_is_counted_on(tmp_path):
    model = make_transformer()
    parameters = list(model.parameters())
    optimizers = [
        torch.optim.SGD(parameters[:5], lr=0.1),
        torch.optim.AdamW(parameters[5:], lr=3e-3),
    ]
    recorder = attach_to(model, optimizers, tmp_path / "parts")
    reference = Reference(model)
    for update in range(1, 5):
        if update == 3:
            taken = optimizers[1].param_groups[0]["params"].pop()
            optimizers[0].add_param_group({"params": [taken]})
        loss = batch_loss(update)
        model.zero_grad()
        loss(model).backward()
        reference.before(gradients_in_float64(model, loss))
        for optimizer in optimizers:
            optimizer.step()
        reference.after()
    recorder.finish(tmp_path / "cube.nc")
    reference.check(tmp_path / "cube.nc")


def tie(model):
    model.output.weight = model.embedding.weight


def replace(model):
    model.output = nn.Linear(12, 23, bias=False)


def normalise(model):
    nn.utils.parametrizations.weight_norm(model.output)


def drop_a_layer(model):
    model.layers = model.layers[:1]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (tie, "output.weight"),
        (replace, "output.weight"),
        (normalise, "output.weight"),
        (drop_a_layer, "layers.1.query.weight"),
    ],
)
def test_a_parameter_that_leaves_the_model_is_named(tmp_path, change, name):
    model = make_transformer()
    optimizer = make_optimizer(model)
    recorder = attach_to(model, optimizer, tmp_path / "parts")
    run(optimizer, model, recorder, updates=2)
    change(model)
    batch_loss(3)(model).backward()
    with pytest.raises(RecordingError, match=rf"update 3: '{name}' is no longer a parameter of"):
        optimizer.step()


def test_modules_may_change_as_long_as_the_parameters_stay(tmp_path):
    model = make_transformer()
    optimizer = make_optimizer(model)
    recorder = attach_to(model, optimizer, tmp_path / "parts")
    reference = run(optimizer, model, recorder, updates=2)
    model.layers = nn.ModuleList(model.layers)
    reference.updates += run(optimizer, model, recorder, updates=2).updates
    recorder.finish(tmp_path / "cube.nc")
    reference.check(tmp_path / "cube.nc")


def test_frozen_parameters_that_still_move_are_refused(tmp_path):
    model = make_transformer()
    optimizer = make_optimizer(model)
    run(optimizer, model, None, updates=2)
    optimizer.zero_grad(set_to_none=False)
    model.layers[0].requires_grad_(False)
    recorder = attach_to(model, optimizer, tmp_path / "parts")
    batch_loss(3)(model).backward()
    kept = copy.deepcopy(model.state_dict())
    with pytest.raises(RecordingError, match=r"is frozen but has a gradient.*Set its \.grad to No"):
        optimizer.step()
    for parameter in model.layers[0].parameters():
        parameter.grad = None
    optimizer.step()
    recorder.finish(tmp_path / "cube.nc")
    assert torch.equal(kept["layers.0.first.weight"], model.layers[0].first.weight)
    assert not torch.equal(kept["layers.1.first.weight"], model.layers[1].first.weight)


def test_what_moves_parameters_after_the_last_update_is_told(tmp_path, caplog):
    caplog.set_level(logging.WARNING, "losschange")
    model = make_transformer()
    optimizer = make_optimizer(model)
    recorder = attach_to(model, optimizer, tmp_path / "parts")
    run(optimizer, model, recorder, updates=2)
    run(torch.optim.SGD(model.parameters(), lr=0.1), model, recorder, updates=2)
    recorder.finish(tmp_path / "cube.nc")
    with open_cube(tmp_path / "cube.nc") as cube:
        assert cube.sizes["step"] == 2
        assert "'embedding.weight' was moved after update 2, the last" in cube.attrs["warnings"]
        assert caplog.messages == [cube.attrs["warnings"]]


def test_parameters_may_be_exchanged_when_the_recording_was_closed(tmp_path, caplog):
    caplog.set_level(logging.WARNING, "losschange")
    model = make_transformer()
    optimizer = make_optimizer(model)
    recorder = attach_to(model, optimizer, tmp_path / "parts")
    best = copy.deepcopy(model.state_dict())
    run(optimizer, model, recorder, updates=2)
    recorder.close()
    model.load_state_dict(best)
    recorder.finish(tmp_path / "cube.nc")
    with open_cube(tmp_path / "cube.nc") as cube:
        assert "warnings" not in cube.attrs and not caplog.messages


def test_numbers_that_are_told_after_the_steps_are_noticed(tmp_path, caplog):
    caplog.set_level(logging.WARNING, "losschange")
    model = make_transformer()
    optimizer = make_optimizer(model)
    recorder = attach_to(model, optimizer, tmp_path / "parts")
    for update in range(3):
        batch_loss(update)(model).backward()
        optimizer.step()
        recorder.describe(loss=update, tokens=10)
    recorder.finish(tmp_path / "cube.nc")
    with open_cube(tmp_path / "cube.nc") as cube:
        assert cube.attrs["warnings"].startswith("loss, tokens were told after the last step.")


def test_averages_of_a_schedule_free_optimizer_are_taken_out_again_without_an_alarm(tmp_path):
    model = make_transformer()
    optimizer = schedule_free(model.parameters(), lr=3e-2, warmup_steps=2)
    optimizer.train()
    recorder = attach_to(model, optimizer, tmp_path / "parts")
    reference = Reference(model)
    for _ in range(10):
        reference.updates += run(optimizer, model, recorder, updates=3).updates
        optimizer.eval()
        recorder.add_valid_loss(1.0)
        optimizer.train()
    recorder.finish(tmp_path / "cube.nc")
    reference.check(tmp_path / "cube.nc")


class Recomputed(nn.Sequential):
    """Computes its first layer twice instead of keeping what is inside."""

    def __init__(self, reentrant):
        super().__init__(nn.Linear(4, 6), nn.Linear(6, 2))
        self.reentrant = reentrant

    def forward(self, inputs):
        inputs = inputs.clone().requires_grad_()
        return self[1](checkpoint(self[0], inputs, use_reentrant=self.reentrant))


@pytest.mark.parametrize("estimator", ["probe", "fresh"])
def test_gradients_that_a_recomputation_hides_are_not_taken_for_zeros(tmp_path, estimator):
    def loss(model, update=0):
        return model(torch.ones(3, 4)).square().mean()

    for reentrant in (False, True):
        torch.manual_seed(0)
        model = Recomputed(reentrant)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        folder = tmp_path / str(reentrant)
        recorder = attach(
            model, optimizer, None, folder, [estimator], probes={"train": loss}, fresh=loss
        )
        loss(model).backward()
        if reentrant:
            with pytest.raises(RecordingError, match="hides the gradients of the parameters"):
                optimizer.step()
            continue
        optimizer.step()
        recorder.finish(tmp_path / "cube.nc")
        with open_cube(tmp_path / "cube.nc") as cube:
            assert bool((abs(cube[f"lca_{estimator}"].sum("step", min_count=1)) > 1e-6).sum() == 4)


def test_modules_hooks_of_the_backward_pass_are_for_the_training_alone(tmp_path):
    model = make_transformer()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    calls = []

    def halve(module, inner, outer):
        calls.append(module)
        return tuple(None if gradient is None else gradient / 2 for gradient in inner)

    model.layers[1].register_full_backward_hook(halve)
    recorder = attach_to(model, optimizer, tmp_path / "parts", estimators=["simpson", "fresh"])
    for update in range(1, 4):
        optimizer.zero_grad()
        batch_loss(update)(model).backward()
        optimizer.step()
    recorder.finish(tmp_path / "cube.nc")
    assert len(calls) == 3
    with open_cube(tmp_path / "cube.nc") as cube:
        change = cube["simpson_loss"] - cube["simpson_loss_before"]
        assert bool((abs(cube["simpson_error"]) < 0.02 * abs(change)).all())


def test_a_copy_of_a_recorded_optimizer_moves_its_own_parameters(tmp_path):
    model = make_transformer()
    optimizer = NoBase(model.parameters(), lr=0.1)
    attach_to(model, optimizer, tmp_path / "parts")
    batch_loss(1)(model).backward()
    before = model.norm.weight.detach().clone()
    for twin in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        parameters = twin.param_groups[0]["params"]
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        kept = parameters[0].detach().clone()
        twin.step()
        assert torch.allclose(parameters[0], kept - 0.1)
    assert torch.equal(model.norm.weight, before)


@pytest.mark.parametrize(
    ("dtype", "device", "message"),
    [
        (torch.complex64, "cpu", "'w' is torch.complex64; the recorder takes real parameters"),
        (torch.float32, "mps", "'w' is on the device mps, which lacks the float64"),
    ],
)
def test_complex_parameters_and_devices_without_float64_are_refused(dtype, device, message):
    parameter = SimpleNamespace(dtype=dtype, device=torch.device(device))
    with pytest.raises(RecordingError, match=message):
        check_recordable(nn.Module(), [("w", parameter)])
