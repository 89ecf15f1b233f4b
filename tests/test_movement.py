"""Changes of parameters outside of the optimizer's step are detected, without false alarms."""

import pytest
import torch

from losschange.cube.parts import PartStore
from losschange.errors import RecordingError
from losschange.recording.movement import MovementCheck
from losschange.recording.partition import Rule, Schema, partition_parameters
from losschange.recording.record_buffer import DEVICE_STEPS
from small_models import attach_to, make_optimizer, make_transformer, train

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPES = {"a": (3, 4), "b": (50,), "c": ()}
PARTITION = partition_parameters(SHAPES.items(), Schema(("embedding",), 1, (Rule(".", "bias", 0),)))


def row(a, b, c):
    """A padded row of three parameters that hold one number each."""
    found = torch.zeros(PARTITION.length)
    for offset, shape, value in zip(PARTITION.offsets, PARTITION.shapes, (a, b, c)):
        found[offset : offset + torch.Size(shape).numel()] = value
    return found


def follow(path, others=()):
    """Check updates along rows; `others` maps an update to the row that it begins at instead."""
    check = MovementCheck(PARTITION, "cpu")
    for update, (before, after) in enumerate(zip(path, path[1:]), 1):
        before = dict(others).get(update, before)
        check.before(before.clone())
        check.after(before - after)
    return check


def test_the_optimizers_own_steps_are_never_taken_for_a_move():
    """Also where a step ends near zero and its rounding is large beside what is left."""
    generator = torch.Generator().manual_seed(0)
    path = [torch.randn(PARTITION.length, generator=generator) for _ in range(100)]
    for position, point in enumerate(path):
        point *= 10.0 ** -(position % 9)
    follow(path).check(1)
    # An optimizer may leave a parameter where it is, and one at zero.
    follow([row(0, 1, 0), row(0, 1, 0), row(0, 1e-30, 0), row(0, 0, 0)]).check(1)


@pytest.mark.parametrize(
    ("moved", "name"), [((1.001, 2, 3), "a"), ((1, 2.001, 3), "b"), ((1, 2, -3), "c")]
)
def test_a_move_names_the_parameter_and_the_update(moved, name):
    path = [row(1, 2, 3)] * 6
    check = follow(path, {4: row(*moved)})
    message = rf"'{name}' was moved after update 33 and before update 34, outside the optimizer"
    with pytest.raises(RecordingError, match=message):
        check.check(31)


def test_a_move_between_two_looks_of_the_host_is_noticed_at_the_second():
    check = follow([row(1, 2, 3)] * 4)
    check.check(1)
    check.before(row(1, 5, 3))
    check.after(row(0, 0, 0))
    with pytest.raises(RecordingError, match="'b' was moved after update 3 and before update 4"):
        check.check(4)


def move_weight(model, optimizer):
    with torch.no_grad():
        model.layers[1].first.weight.mul_(1.01)


def move_data(model, optimizer):
    model.layers[1].first.weight.data += 1e-3


def clip_weight(model, optimizer):
    model.layers[1].first.weight.data.clamp_(-0.01, 0.01)


def load_weights(model, optimizer):
    model.load_state_dict({n: v * 0.99 for n, v in model.state_dict().items()})


@pytest.mark.parametrize("move", [move_weight, move_data, clip_weight])
def test_parts_already_written_stay_as_they_are(tmp_path, move):
    model = make_transformer()
    optimizer = make_optimizer(model)
    recorder = attach_to(model, optimizer, tmp_path, estimators=["probe"])
    train(model, optimizer, 5, recorder)
    recorder.save()
    (part,) = tmp_path.glob("part-*")
    before = part.read_bytes()

    def change(update):
        if update == 8:
            move(model, optimizer)

    message = r"'layers\.1\.first\.weight' was moved after update 7 and before update 8"
    train(model, optimizer, range(6, 10), recorder, change=change)
    # Whoever catches the error cannot make the recorder write what is wrong.
    for _ in range(2):
        with pytest.raises(RecordingError, match=message):
            recorder.save()
    with pytest.raises(RecordingError, match=message):
        train(model, optimizer, range(10, 11), recorder)
    with pytest.raises(RecordingError, match=message):
        recorder.finish(tmp_path / "cube.nc")
    assert list(tmp_path.glob("*.nc")) == [part] and part.read_bytes() == before


def test_it_is_noticed_without_a_save_once_the_ring_is_full(tmp_path):
    model = make_transformer(layers=1)
    optimizer = make_optimizer(model)
    recorder = attach_to(model, optimizer, tmp_path)
    with pytest.raises(RecordingError, match="was moved after update 1 and before update 2"):
        train(
            model,
            optimizer,
            DEVICE_STEPS + 1,
            recorder,
            sentences=1,
            change=lambda update: load_weights(model, optimizer) if update == 2 else None,
        )
    assert recorder.recorder.updates == DEVICE_STEPS and PartStore(tmp_path).parts() == []
