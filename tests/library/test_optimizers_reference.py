"""Cells agree with a naive float64 reference, whatever optimizer moves the parameters."""

import pytest
import torch

from library_reference import Reference, batch_loss, gradients_in_float64
from losschange.errors import RecordingError
from small_models import attach_to, make_transformer

pytestmark = pytest.mark.usefixtures("one_thread")


class ScalingSgd(torch.optim.Optimizer):
    """Changes `p.grad` inside of its step, as many optimizers do to save memory."""

    def __init__(self, parameters, lr):
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.mul_(-group["lr"])
                    parameter.add_(parameter.grad)


class Lion(torch.optim.Optimizer):
    """The sign of a running mean of gradients (Chen et al. 2023), clearing gradients itself."""

    def __init__(self, parameters, lr):
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                mean = self.state[parameter].setdefault("mean", torch.zeros_like(parameter))
                move = mean.lerp(parameter.grad, 0.1).sign_()
                mean.lerp_(parameter.grad, 0.01)
                parameter.grad.zero_()
                parameter.data.add_(move, alpha=-group["lr"])


class Muon(torch.optim.Optimizer):
    """Momentum of matrices, orthogonalised by Newton and Schulz's iteration."""

    def __init__(self, parameters, lr):
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                mean = self.state[parameter].setdefault("mean", torch.zeros_like(parameter))
                move = mean.mul_(0.9).add_(parameter.grad)
                move = move / (move.norm() + 1e-7)
                for _ in range(5):
                    square = move @ move.T
                    move = 3.4445 * move + (-4.775 * square + 2.0315 * square @ square) @ move
                parameter.add_(move, alpha=-group["lr"])


class NoBase:
    """An optimizer that derives from nothing."""

    def __init__(self, parameters, lr):
        self.param_groups = [{"params": list(parameters), "lr": lr}]

    def step(self):
        with torch.no_grad():
            for parameter in self.param_groups[0]["params"]:
                parameter -= self.param_groups[0]["lr"] * parameter.grad

    def zero_grad(self):
        for parameter in self.param_groups[0]["params"]:
            parameter.grad = None


class CallsItsBase(torch.optim.AdamW):
    """A step that calls the hooked step of its base class."""

    def step(self, closure=None):
        return super().step(closure)


def schedule_free(parameters, **options):
    return pytest.importorskip("schedulefree").AdamWScheduleFree(parameters, **options)


def adafactor(parameters, **options):
    return torch.optim.Adafactor(parameters, **options)


OPTIMIZERS = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "Adam": lambda p: torch.optim.Adam(p, lr=3e-3),
    "AdamW, tensor by tensor": lambda p: torch.optim.AdamW(p, lr=3e-3, foreach=False),
    "AdamW, foreach": lambda p: torch.optim.AdamW(p, lr=3e-3, foreach=True, maximize=False),
    "AdamW, fused": lambda p: torch.optim.AdamW(p, lr=3e-3, fused=True),
    "Adafactor": lambda p: adafactor(p, lr=1e-2),
    "Lion": lambda p: Lion(p, lr=1e-3),
    "scaled gradients": lambda p: ScalingSgd(p, lr=0.1),
    "schedule-free AdamW": lambda p: schedule_free(p, lr=3e-3, warmup_steps=2),
    "schedule-free AdamW, foreach": lambda p: schedule_free(p, lr=3e-3, foreach=True),
    "no base class": lambda p: NoBase(p, lr=0.1),
    "calls its base": lambda p: CallsItsBase(p, lr=3e-3),
}


def run(optimizer, model, recorder, updates=5, dropout_seed=None):
    """A plain training; returns the reference."""
    reference = Reference(model)
    for update in range(1, updates + 1):
        loss = batch_loss(update)
        optimizer.zero_grad()
        loss(model).backward()
        reference.before(gradients_in_float64(model, loss))
        optimizer.step()
        reference.after()
    return reference


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_cells_are_those_of_the_reference(tmp_path, kind):
    torch.optim.AdamW([torch.nn.Parameter(torch.ones(1))])  # hooks the class
    model = make_transformer()
    optimizer = OPTIMIZERS[kind](model.parameters())
    if hasattr(optimizer, "train"):
        optimizer.train()
    recorder = attach_to(model, optimizer, tmp_path / "parts")
    reference = run(optimizer, model, recorder)
    recorder.finish(tmp_path / "cube.nc")
    reference.check(tmp_path / "cube.nc")


def test_gradients_cleared_by_an_earlier_hook_are_counted(tmp_path):
    model = make_transformer()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    optimizer.register_step_post_hook(lambda optimizer, *_: optimizer.zero_grad())
    recorder = attach_to(model, optimizer, tmp_path / "parts")
    reference = run(optimizer, model, recorder)
    recorder.finish(tmp_path / "cube.nc")
    reference.check(tmp_path / "cube.nc")


def test_muon_for_matrices_and_adamw_for_the_rest_make_one_update(tmp_path):
    model = make_transformer()
    matrices = [p for name, p in model.named_parameters() if "layers" in name and p.ndim == 2]
    others = [p for p in model.parameters() if not any(p is matrix for matrix in matrices)]
    optimizers = [Muon(matrices, lr=0.02), torch.optim.AdamW(others, lr=3e-3, weight_decay=0.1)]
    recorder = attach_to(model, optimizers, tmp_path / "parts", estimators=["simpson"])
    reference = Reference(model)
    for update in range(1, 6):
        loss = batch_loss(update)
        loss(model).backward()
        reference.before(gradients_in_float64(model, loss))
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        reference.after()
    recorder.finish(tmp_path / "cube.nc")
    reference.check(tmp_path / "cube.nc")


def test_an_optimizer_that_steps_less_often_made_no_step_in_the_updates_between(tmp_path):
    model = make_transformer()
    some = list(model.layers[0].parameters())
    others = [p for p in model.parameters() if not any(p is one for one in some)]
    often, seldom = torch.optim.SGD(others, lr=0.1), torch.optim.SGD(some, lr=0.1)
    recorder = attach_to(model, [often, seldom], tmp_path / "parts")
    reference = Reference(model)
    for update in range(1, 7):
        loss = batch_loss(update)
        model.zero_grad()
        loss(model).backward()
        reference.before(gradients_in_float64(model, loss))
        recorder.describe(loss=update)
        often.step()
        if update % 3 == 0:
            seldom.step()
        reference.after()
        if update == 4:
            recorder.save()
    recorder.finish(tmp_path / "cube.nc")
    reference.check(tmp_path / "cube.nc")


def test_a_parameter_of_two_optimizers_is_refused(tmp_path):
    model = make_transformer()
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.1) for _ in range(2)]
    with pytest.raises(RecordingError, match=r"shape \(23, 12\) is held twice by the optimizers"):
        attach_to(model, optimizers, tmp_path / "parts")


@pytest.mark.parametrize("clip", [None, 0.1])
def test_accumulated_and_clipped_gradients_count_as_the_optimizer_got_them(tmp_path, clip):
    model = make_transformer()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    recorder = attach_to(model, optimizer, tmp_path / "parts")
    reference = Reference(model)
    for update in range(1, 5):
        losses = [batch_loss(10 * update + part, sentences=4) for part in range(3)]
        optimizer.zero_grad()
        for loss in losses:
            (loss(model) / 3).backward()
        expected = gradients_in_float64(
            model, lambda m, parts=losses: sum(part(m) for part in parts) / 3
        )
        if clip:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
            norm = torch.cat([g.flatten() for g in expected.values()]).norm()
            assert norm > clip
            expected = {name: g * clip / (norm + 1e-6) for name, g in expected.items()}
        reference.before(expected)
        optimizer.step()
        reference.after()
    recorder.finish(tmp_path / "cube.nc")
    reference.check(tmp_path / "cube.nc")


def test_a_closure_that_is_called_once_gives_the_gradient(tmp_path):
    model = make_transformer()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    recorder = attach_to(model, optimizer, tmp_path / "parts")
    reference = Reference(model)
    for update in range(1, 5):
        loss = batch_loss(update)

        def closure():
            optimizer.zero_grad()
            value = loss(model)  # noqa: B023
            value.backward()
            return value

        reference.before(gradients_in_float64(model, loss))
        optimizer.step(closure) if update % 2 else optimizer.step(closure=closure)
        reference.after()
    recorder.finish(tmp_path / "cube.nc")
    reference.check(tmp_path / "cube.nc")


def test_lbfgs_is_refused_with_the_reason(tmp_path):
    model = make_transformer()
    with pytest.raises(RecordingError, match="LBFGS evaluates the loss at several points"):
        attach_to(model, torch.optim.LBFGS(model.parameters()), tmp_path / "parts")
    assert not (tmp_path / "parts").exists()


class Sharpness(torch.optim.SGD):
    """Evaluates its closure where a first step led, as sharpness-aware minimisation does."""

    def step(self, closure=None):
        with torch.no_grad():
            for parameter in self.param_groups[0]["params"]:
                parameter.add_(0.1)
        closure()
        super().step()


class Twice(torch.optim.SGD):
    """Evaluates its closure twice."""

    def step(self, closure=None):
        closure()
        return super().step(closure)


@pytest.mark.parametrize(
    ("kind", "how"), [(Sharpness, "after it had moved the parameters"), (Twice, "2 times")]
)
def test_a_step_of_several_gradients_is_refused_when_it_is_made(tmp_path, kind, how):
    model = make_transformer()
    optimizer = kind(model.parameters(), lr=0.1)
    attach_to(model, optimizer, tmp_path / "parts")
    with pytest.raises(RecordingError, match=f"{kind.__name__} called its closure {how}"):
        optimizer.step(lambda: batch_loss(1)(model).backward())


def test_a_step_that_raised_leaves_nothing_behind(tmp_path):
    model = make_transformer()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    recorder = attach_to(model, optimizer, tmp_path / "parts")

    def out_of_memory():
        raise MemoryError

    with pytest.raises(MemoryError):
        optimizer.step(out_of_memory)
    reference = run(optimizer, model, recorder)
    recorder.finish(tmp_path / "cube.nc")
    reference.check(tmp_path / "cube.nc")
