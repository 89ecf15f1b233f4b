"""What changes gradients, parameters or the model behind the training's back."""

import pytest
import torch
from test_optimizers_reference import NoBase, run
from torch import nn

from library_reference import Reference, batch_loss, gradients_in_float64
from losschange import attach
from losschange.adapters.gradients import ClippingWatch
from losschange.cube.format import open_cube
from losschange.errors import RecordingError
from losschange.recording.parameters import fingerprint
from small_models import attach_to, make_optimizer, make_transformer

pytestmark = pytest.mark.usefixtures("one_thread")


class Own(torch.optim.AdamW):
    """An optimizer of which it is not known whether it leaves gradients as they are."""


@pytest.mark.parametrize("kind", [Own, torch.optim.AdamW])
def test_a_hook_that_comes_after_the_recorder_may_still_change_gradients(tmp_path, kind):
    model = make_transformer()
    optimizer = kind(model.parameters(), lr=3e-3)
    recorder = attach_to(model, optimizer, tmp_path / "parts")

    def halve(optimizer, *_):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad.mul_(0.5)

    handle = optimizer.register_step_pre_hook(halve)
    reference = Reference(model)
    for update in range(1, 4):
        loss = batch_loss(update)
        optimizer.zero_grad()
        loss(model).backward()
        gradients = gradients_in_float64(model, loss)
        if update == 3:
            handle.remove()
        share = 0.5 if update < 3 else 1.0
        reference.before({name: share * gradient for name, gradient in gradients.items()})
        optimizer.step()
        reference.after()
    recorder.finish(tmp_path / "cube.nc")
    reference.check(tmp_path / "cube.nc")
    assert "register_step_pre_hook" not in vars(optimizer)


@pytest.mark.parametrize("kind", [torch.optim.NAdam, NoBase])
@pytest.mark.parametrize("first_ends", [True, False])
def test_two_recorders_of_one_training_do_not_disturb_each_other(tmp_path, kind, first_ends):
    model = make_transformer()
    optimizer = kind(model.parameters(), lr=1e-2)
    recorders = [
        attach_to(model, optimizer, tmp_path / name, estimators=["probe", "fresh"])
        for name in ("one", "two")
    ]
    ending, staying = recorders if first_ends else recorders[::-1]
    reference = run(optimizer, model, None, updates=2)
    ending.finish(tmp_path / "short.nc")
    reference.check(tmp_path / "short.nc")
    reference.updates += run(optimizer, model, None, updates=2).updates
    staying.finish(tmp_path / "long.nc")
    reference.check(tmp_path / "long.nc")
    left = {"step", "register_step_pre_hook"} & vars(optimizer).keys()
    assert not left or first_ends  # what the second calls has to stay


def test_optimizers_that_step_inside_of_the_backward_pass_make_one_update(tmp_path):
    model, twin, loss = make_transformer(), make_transformer(), batch_loss(1)
    optimizers = {p: torch.optim.AdamW([p], lr=3e-3) for p in model.parameters()}
    recorder = attach_to(model, [*optimizers.values()], tmp_path / "parts", estimators=["simpson"])

    def step(parameter):
        optimizers[parameter].step()
        optimizers[parameter].zero_grad()

    for parameter in optimizers:
        parameter.register_post_accumulate_grad_hook(step)
    reference = Reference(model)
    for update in range(1, 4):
        loss = batch_loss(update)
        twin.load_state_dict(model.state_dict())
        reference.before(gradients_in_float64(twin, loss))
        loss(model).backward()
        reference.after()
    recorder.finish(tmp_path / "cube.nc")
    reference.check(tmp_path / "cube.nc")


def test_a_short_default_type_does_not_round_the_records(tmp_path):
    model = make_transformer()
    optimizer = make_optimizer(model)
    kept = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        recorder = attach_to(model, optimizer, tmp_path / "parts", estimators=["simpson"])
    finally:
        torch.set_default_dtype(kept)
    reference = run(optimizer, model, recorder, updates=3)
    recorder.finish(tmp_path / "cube.nc")
    reference.check(tmp_path / "cube.nc")


def test_the_fingerprint_of_a_tensor_of_many_scalars():
    """Float32 cannot count to the last scalar of a tensor as large as GPT-2's embedding."""
    large = torch.zeros(1).expand(50257 * 768)
    assert len(fingerprint([large])) == 16


@pytest.mark.parametrize("share", [0.02, 0.5])
def test_weights_that_are_clamped_between_updates_are_noticed(tmp_path, share):
    model = make_transformer()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    recorder = attach_to(model, optimizer, tmp_path / "parts")
    for update in range(1, 4):
        batch_loss(update)(model).backward()
        optimizer.step()
        with torch.no_grad():
            for parameter in model.layers.parameters():
                largest = parameter.abs().quantile(1 - share)
                parameter.clamp_(-largest, largest)
    with pytest.raises(RecordingError, match="was moved after update .* outside the optimizer's"):
        recorder.save()


class Stateful(nn.Module):
    """Keeps a hidden state, a count, a running sum and random numbers in plain attributes."""

    def __init__(self):
        super().__init__()
        self.net, self.output = nn.LSTM(4, 4), nn.Linear(4, 2)
        self.hidden, self.calls, self.total = None, 0, torch.zeros(())
        self.generator = torch.Generator().manual_seed(3)

    def forward(self, inputs):
        hidden, state = self.net(inputs, self.hidden)
        self.hidden = tuple(part.detach() for part in state)
        self.calls += 1
        self.total += inputs.mean()
        kept = torch.rand(hidden.shape, generator=self.generator) > 0.2
        return self.output(hidden * kept) * (1 + self.calls / 100) + self.total / 100


class KeepsContainers(nn.Module):
    """Replaces a buffer, and keeps what it has seen in a list, a dictionary and a counter."""

    def __init__(self):
        super().__init__()
        self.output = nn.Linear(4, 2)
        self.register_buffer("mean", torch.zeros(4))
        self.seen, self.last = [torch.zeros(4)], {"calls": 0}

    def forward(self, inputs):
        self.mean = 0.9 * self.mean + 0.1 * inputs.mean((0, 1))
        self.seen[0] += self.mean
        self.seen.append(self.mean)
        self.last["calls"] += 1
        shift = self.seen[0] + self.seen[-2] + self.last["calls"]
        return self.output(inputs + shift / 100)


class MergesAdapters(nn.Linear):
    """A low-rank adapter that is added to the weight for evaluations (Hu et al. 2021)."""

    def __init__(self):
        super().__init__(4, 4)
        self.weight.requires_grad_(False)
        self.first, self.second = nn.Parameter(torch.randn(2, 4)), nn.Parameter(torch.ones(4, 2))
        self.merged = False

    def train(self, mode=True):
        if mode == self.merged:
            change = self.second @ self.first
            self.weight.data += -change if mode else change
            self.merged = not mode
        return super().train(mode)

    def forward(self, inputs):
        low = 0 if self.merged else inputs @ self.first.T @ self.second.T
        return super().forward(inputs) + low


class FrozenNorm(nn.Sequential):
    """A norm that stays with its statistics while the rest of the model trains."""

    def __init__(self):
        super().__init__(nn.Linear(4, 4), nn.BatchNorm1d(3), nn.Linear(4, 2))
        self[1].eval()


@pytest.mark.parametrize("kind", [Stateful, KeepsContainers, MergesAdapters, FrozenNorm])
def test_what_a_model_keeps_beside_its_parameters_is_left_as_it_was(tmp_path, kind):
    def loss(model, update=0):
        return model(torch.ones(5, 3, 4) + update).square().mean()

    trained = []
    for recording in (False, True):
        torch.manual_seed(0)
        model = kind()
        named = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(named, lr=0.01)
        if recording:
            attach(
                model, optimizer, folder=tmp_path / "parts", estimators=["simpson", "fresh"],
                probes={"train": loss}, fresh=loss, quadrature="fixed",
            )  # fmt: skip
        for update in range(3):
            optimizer.zero_grad()
            loss(model, update).backward()
            optimizer.step()
        trained.append(model)
    for one, other in zip(*(model.state_dict().values() for model in trained), strict=True):
        assert torch.equal(one, other)


def test_a_fresh_batch_sees_frozen_norms_as_the_training_does(tmp_path):
    torch.manual_seed(0)
    model = FrozenNorm()
    inputs = torch.randn(5, 3, 4)

    def loss(model, update=0):
        return model(inputs).square().mean()

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    recorder = attach(model, optimizer, folder=tmp_path / "parts", estimators=["fresh"], fresh=loss)
    for _ in range(3):
        optimizer.zero_grad()
        loss(model).backward()
        optimizer.step()
    recorder.finish(tmp_path / "cube.nc")
    with open_cube(tmp_path / "cube.nc") as cube:
        # The fresh batch is that of the training, so the estimators agree.
        difference = abs(cube["lca_fresh"].values - cube["lca"])
        assert float(difference.max()) < 1e-6 * float(abs(cube["lca"]).max())


def test_averages_that_are_put_in_and_taken_out_again_do_no_harm(tmp_path):
    model = make_transformer()
    optimizer = make_optimizer(model)
    average = torch.optim.swa_utils.AveragedModel(model)
    recorder = attach_to(model, optimizer, tmp_path / "parts", estimators=["probe"])
    reference = Reference(model)
    for update in range(1, 5):
        reference.updates += run(optimizer, model, recorder, updates=1).updates
        average.update_parameters(model)
        kept = {name: value.clone() for name, value in model.state_dict().items()}
        model.load_state_dict(average.module.state_dict())
        recorder.add_valid_loss(float(update))
        model.load_state_dict(kept)
    recorder.finish(tmp_path / "cube.nc")
    reference.check(tmp_path / "cube.nc")


def test_hooks_that_scale_the_trainings_gradients_do_not_scale_a_probes(tmp_path):
    model = make_transformer()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    called = []

    def scale(gradient):
        called.append(1)
        return 3 * gradient

    model.layers[0].first.weight.register_hook(scale)
    recorder = attach_to(
        model,
        optimizer,
        tmp_path / "parts",
        estimators=["simpson", "fresh"],
        simpson_tolerance=1e-4,
    )
    for update in range(1, 4):
        optimizer.zero_grad()
        batch_loss(update)(model).backward()
        optimizer.step()
    recorder.finish(tmp_path / "cube.nc")
    assert len(called) == 3
    with open_cube(tmp_path / "cube.nc") as cube:
        assert float(abs(cube["simpson_error"]).max()) < 2e-4
        change = abs(cube["simpson_loss"] - cube["simpson_loss_before"])
        assert float(change.min()) > 1e-3


def test_clipping_is_measured_where_the_smallest_parameters_have_no_gradient():
    """As with LoRA, whose first matrices get none at first, and with parts that rest."""
    small = [nn.Parameter(torch.zeros(2)) for _ in range(20)]
    large, resting = nn.Parameter(torch.ones(300)), nn.Parameter(torch.ones(1))
    watch = ClippingWatch([*small, resting, large])
    stop = watch.after_every_backward()
    (5 * large.sum() + sum(p.sum() * 0 for p in small[:10])).backward()
    norm = torch.nn.utils.clip_grad_norm_([*small, resting, large], 1.0)
    assert float(watch.undo()) == pytest.approx(float(norm), rel=1e-5)
    stop()
