"""The recorder in a small torch training, against a slow reference."""

import numpy as np
import pytest
import torch

from losschange.cube.format import open_cube
from losschange.cube.parts import PartStore
from losschange.errors import RecordingError
from losschange.recording.record_buffer import DEVICE_STEPS
from losschange.recording.recorder import Recorder
from small_models import MLP_SCHEMA, Mlp, partition_of
from small_models import trainable as named

pytestmark = pytest.mark.usefixtures("one_thread")


def train(
    steps, recorder=None, model=None, reference=None, scaled=True, optimizer=None, changes=None
):
    """Train on seeded batches; `recorder` may be a function of the model. Returns the model."""
    torch.manual_seed(5)
    model = model or Mlp()
    parameters = [p for _, p in named(model)]
    optimizer = optimizer or torch.optim.AdamW(parameters, lr=0.05, weight_decay=0.1)
    recorder = recorder(model) if recorder else None
    generator = torch.Generator().manual_seed(6)
    for step in range(steps):
        inputs = torch.randn(8, 5, generator=generator)
        targets = torch.randint(0, 3, (8,), generator=generator)
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(inputs, scaled), targets)
        loss.backward()
        if changes:
            changes(step, model)
        parameters = [p.detach() for _, p in named(model)]
        gradients = [p.grad for _, p in named(model)]
        before = [p.double().clone() for p in parameters]
        if recorder:
            recorder.before_update(parameters)
        optimizer.step()
        if recorder:
            recorder.after_update(parameters, gradients)
            recorder.describe_update(loss=loss.detach(), tokens=8, lr=0.05)
        if reference is not None:
            reference.append(
                {
                    name: 0.0
                    if gradient is None
                    else float(((after.detach().double() - old) * gradient.double()).sum())
                    for (name, after), old, gradient in zip(named(model), before, gradients)
                }
            )
    if recorder:
        recorder.flush()
    return model


def recorder_for(folder, **options):
    def make(model):
        return Recorder(partition_of(model, MLP_SCHEMA), PartStore(folder), **options)

    return make


def recorded(folder):
    """Component (layer summed) to its column over all parts, and the losses."""
    columns, losses = [], []
    for _, _, path in PartStore(folder).parts():
        with open_cube(path) as cube:
            grid = cube["lca"].sum(("layer", "head"), min_count=1).transpose("step", "component")
            columns.append(grid.to_pandas())
            losses.append(cube["loss"].values)
    return {
        name: np.concatenate([c[name] for c in columns]) for name in columns[0]
    }, np.concatenate(losses)


def summed(reference):
    return {
        "W1": np.array([row["first.weight"] for row in reference]),
        "W2": np.array([row["second.weight"] for row in reference]),
        "bias": np.array([row["first.bias"] + row["second.bias"] for row in reference]),
        "norm": np.array([row.get("scale", np.nan) for row in reference]),
    }


def check(folder, reference):
    found, _ = recorded(folder)
    for component, expected in summed(reference).items():
        np.testing.assert_allclose(found[component], expected, rtol=1e-4, atol=1e-6)
        assert np.abs(expected).max() > 1e-3 or np.all(expected == 0)


def test_equals_naive_autograd_with_momentum_and_weight_decay(tmp_path):
    reference = []
    train(20, recorder_for(tmp_path), reference=reference)
    check(tmp_path, reference)
    _, losses = recorded(tmp_path)
    assert losses[-1] < losses[0]


def test_more_updates_than_the_ring_holds(tmp_path):
    reference = []
    train(2 * DEVICE_STEPS + 3, recorder_for(tmp_path), reference=reference)
    assert [(first, last) for first, last, _ in PartStore(tmp_path).parts()] == [
        (1, 2 * DEVICE_STEPS + 3)
    ]
    check(tmp_path, reference)


def test_recording_does_not_change_the_training(tmp_path):
    plain, watched = train(30), train(30, recorder_for(tmp_path))
    for (name, a), (_, b) in zip(named(plain), named(watched)):
        assert torch.equal(a, b), name


def test_a_parameter_outside_the_loss_is_recorded_as_zero(tmp_path):
    reference = []
    train(5, recorder_for(tmp_path), reference=reference, scaled=False)
    found, _ = recorded(tmp_path)
    assert np.all(found["norm"] == 0)
    check(tmp_path, reference)


def test_a_frozen_parameter_has_no_cell(tmp_path):
    model = Mlp()
    model.scale.requires_grad_(False)
    reference = []
    train(5, recorder_for(tmp_path), model=model, reference=reference)
    found, _ = recorded(tmp_path)
    assert np.all(np.isnan(found["norm"]))
    with open_cube(PartStore(tmp_path).parts()[0][2]) as cube:
        assert int(cube["n_parameters"].sum()) == sum(p.numel() for _, p in named(model))


def test_gradients_that_still_wait_for_a_factor(tmp_path):
    model, values = Mlp(), {}
    partition = partition_of(model, MLP_SCHEMA)
    before = [p.detach().clone() for _, p in named(model)]
    after = [p + 0.1 for p in before]
    gradients = [torch.ones_like(p) for p in before]
    for name, factor in (("plain", 1.0), ("scaled", 128.0), ("tensor", torch.tensor(128.0))):
        recorder = Recorder(partition, PartStore(tmp_path / name))
        recorder.before_update(before)
        scale = 1 / factor
        recorder.after_update(after, [g * factor for g in gradients], scale)
        recorder.describe_update()
        recorder.flush()
        values[name], _ = recorded(tmp_path / name)
    for component in summed([]):
        np.testing.assert_array_equal(values["plain"][component], values["scaled"][component])
        np.testing.assert_array_equal(values["plain"][component], values["tensor"][component])
    assert values["plain"]["norm"] == pytest.approx(0.3)


def test_what_is_not_finite_names_update_and_cell_and_keeps_earlier_parts(tmp_path):
    train(4, recorder_for(tmp_path))
    ((_, _, part),) = PartStore(tmp_path).parts()
    before = part.read_bytes()

    def spoil(step, model):
        if step == 2:
            model.second.weight.grad[0, 0] = float("nan")

    with pytest.raises(RecordingError, match=r"update 7: .* W2 .* is nan"):
        train(6, recorder_for(tmp_path, updates=4), changes=spoil)
    assert [path for _, _, path in PartStore(tmp_path).parts()] == [part]
    assert part.read_bytes() == before
    assert list(tmp_path.iterdir()) == [part]


def test_after_such_an_error_nothing_is_written_under_wrong_numbers(tmp_path):
    model = Mlp()
    recorder = recorder_for(tmp_path)(model)
    parameters = [p.detach() for _, p in named(model)]
    recorder.before_update(parameters)
    gradients = [torch.full_like(p, float("inf")) for p in parameters]
    with pytest.raises(RecordingError, match="update 1: "):
        recorder.after_update([p + 1 for p in parameters], gradients)
    with pytest.raises(RecordingError, match="update 1: "):
        recorder.before_update(parameters)
    for _ in range(2):
        with pytest.raises(RecordingError, match="update 1: "):
            recorder.flush()
    assert PartStore(tmp_path).parts() == []


def test_parameters_that_come_go_or_change_are_an_error(tmp_path):
    model = Mlp()
    recorder = recorder_for(tmp_path)(model)
    parameters = [p.detach() for _, p in named(model)]
    with pytest.raises(RecordingError, match="update 1: 4 parameters, but .* made for 5"):
        recorder.before_update(parameters[:-1])
    with pytest.raises(RecordingError, match="6 parameters"):
        recorder.before_update([*parameters, parameters[0]])
    with pytest.raises(RecordingError, match=r"'first.weight' has shape \(8,\), expected \(7, 5\)"):
        recorder.before_update([parameters[0], torch.zeros(8), *parameters[2:]])
    with pytest.raises(RecordingError, match="after_update without before_update"):
        recorder.after_update(parameters, parameters)


def test_numbers_and_validation_losses_of_the_steps(tmp_path):
    model = Mlp()
    recorder = recorder_for(tmp_path)(model)
    parameters = [p.detach() for _, p in named(model)]
    recorder.add_valid_loss(9.0)
    recorder.flush()
    assert PartStore(tmp_path).parts() == [], "nothing was updated yet"
    for step in range(3):
        recorder.before_update(parameters)
        recorder.after_update(parameters, [torch.ones_like(p) for p in parameters])
        recorder.describe_update(loss=torch.tensor(5.0 - step), tokens=10 + step)
    recorder.add_valid_loss(4.0)
    recorder.flush()
    recorder.flush()
    ((first, last, path),) = PartStore(tmp_path).parts()
    assert (first, last) == (1, 3)
    with open_cube(path) as cube:
        assert cube["loss"].values.tolist() == [5.0, 4.0, 3.0]
        assert cube["tokens"].values.tolist() == [10.0, 11.0, 12.0]
        assert np.isnan(cube["grad_norm"].values).all()
        assert cube["valid_step"].values.tolist() == [0, 3]
        assert cube["valid_loss"].values.tolist() == [9.0, 4.0]
