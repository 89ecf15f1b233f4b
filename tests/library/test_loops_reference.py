"""Loops that are not one plain optimizer: accelerate without its Trainer, mixtures of experts."""

import numpy as np
import pytest
import torch

from library_reference import Reference, batch_loss, gradients_in_float64
from losschange.cube.format import open_cube
from losschange.recording.attachment import attach
from losschange.recording.partition import Rule, Schema
from small_models import attach_to, make_transformer

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def accelerator():
    accelerate = pytest.importorskip("accelerate")
    from accelerate.state import AcceleratorState, GradientState

    yield accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2)
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def test_a_loop_of_accelerate_is_recorded(tmp_path, accelerator):
    model = make_transformer()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.9**step)
    prepared, optimizer, scheduler = accelerator.prepare(model, optimizer, scheduler)
    recorder = attach_to(prepared, optimizer, tmp_path / "parts")
    reference = Reference(model)
    for batch in range(8):
        losses = [batch_loss(batch - batch % 2), batch_loss(batch - batch % 2 + 1)]
        with accelerator.accumulate(prepared):
            accelerator.backward(losses[batch % 2](prepared))
            if accelerator.sync_gradients:
                reference.before(
                    gradients_in_float64(
                        model, lambda m, parts=losses: sum(p(m) for p in parts) / 2
                    )
                )
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            if accelerator.sync_gradients:
                reference.after()
    assert recorder.recorder.updates == 4
    recorder.finish(tmp_path / "cube.nc")
    reference.check(tmp_path / "cube.nc")


def test_an_accelerated_optimizer_that_comes_late_loses_no_parts(tmp_path, accelerator):
    model = make_transformer()
    optimizer = accelerator.prepare(torch.optim.AdamW(model.parameters(), lr=3e-3))
    recorder = attach_to(model, optimizer, tmp_path / "parts")
    for update in range(4):
        batch_loss(update)(model).backward()
        optimizer.step()
        if update == 1:
            state, kept = recorder.save(), {n: v.clone() for n, v in model.state_dict().items()}
    recorder.save()
    recorder.detach()
    model.load_state_dict(kept)
    recorder = attach_to(model, optimizer, tmp_path / "parts", updates=2, state=state)
    batch_loss(9)(model).backward()
    optimizer.step()
    recorder.finish(tmp_path / "cube.nc")
    with open_cube(tmp_path / "cube.nc") as cube:
        assert cube["step"].values.tolist() == [1, 2, 3]


class Experts(torch.nn.Module):
    """A router and three experts, of which each input is seen by one."""

    def __init__(self):
        super().__init__()
        self.router = torch.nn.Linear(4, 3, bias=False)
        self.experts = torch.nn.ModuleList(torch.nn.Linear(4, 2, bias=False) for _ in range(3))

    def forward(self, inputs):
        gates = self.router(inputs).softmax(dim=-1)
        best = gates.argmax(dim=-1)
        outputs = torch.zeros(len(inputs), 2, dtype=inputs.dtype)
        for number, expert in enumerate(self.experts):
            chosen = best == number
            if chosen.any():  # an expert that nothing is sent to has no gradient at all
                share = gates[chosen, number, None]
                outputs = outputs.index_put((chosen,), share * expert(inputs[chosen]))
        return outputs


def test_experts_without_input_have_no_loss_change(tmp_path):
    torch.manual_seed(0)
    model = Experts()
    rules = (
        Rule(r"router\.weight", "query", 1),
        *(Rule(rf"experts\.{n}\.weight", name, 1) for n, name in enumerate(("W1", "W2", "out"))),
    )
    schema = Schema(("embedding", "encoder", "output"), 1, rules)
    optimizers = [
        torch.optim.AdamW(model.router.parameters(), lr=0.01),
        torch.optim.AdamW(model.experts.parameters(), lr=0.02, weight_decay=0.1),
    ]
    recorder = attach(model, optimizers, schema, tmp_path / "parts")
    names = {"router.weight": "query", "experts.0.weight": "W1", "experts.1.weight": "W2",
             "experts.2.weight": "out"}  # fmt: skip
    expected, idle = [], 0
    for update in range(6):
        torch.manual_seed(update)
        inputs = torch.randn(2, 4)

        def loss(model, inputs=inputs):
            return (model(inputs.to(model.router.weight.dtype)) - 1).square().mean()

        gradients = gradients_in_float64(model, loss)
        model.zero_grad()
        loss(model).backward()
        idle += sum(p.grad is None for p in model.parameters())
        before = {n: p.detach().double().clone() for n, p in model.named_parameters()}
        for optimizer in optimizers:
            optimizer.step()
        expected.append(
            {
                names[n]: float((gradients[n] * (p.detach().double() - before[n])).sum())
                for n, p in model.named_parameters()
            }
        )
    assert idle > 3
    recorder.finish(tmp_path / "cube.nc")
    with open_cube(tmp_path / "cube.nc") as cube:
        for step, cells in enumerate(expected):
            largest = max(abs(value) for value in cells.values())
            found = cube["lca"].isel(step=step, layer=1, head=0)
            for component, value in cells.items():
                assert float(found.sel(component=component)) == pytest.approx(
                    value, abs=1e-5 * largest
                )
        assert np.isfinite(cube["lr"]).all()
