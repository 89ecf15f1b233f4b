"""Probe schedules with a stride: nothing is left out, however a training is cut up."""

import shutil
from copy import deepcopy

import numpy as np
import pytest
import torch

from estimator_names import ESTIMATORS, PROBES
from losschange.cube.estimators import parse_estimator
from losschange.cube.format import details_of, open_cube, steps_of
from losschange.cube.parts import PartStore
from losschange.errors import RecordingError
from losschange.recording import probe_schedule as intervals
from small_models import attach_to, make_optimizer, make_transformer, train

pytestmark = pytest.mark.usefixtures("one_thread")

UPDATES = 13
STRIDES = {"fresh": 3, "probe": 4, "simpson": 4, "probe_valid": 5, "simpson_valid": 1}
ENDS = {
    "batch": [*range(1, 14)],
    "fresh": [3, 6, 9, 12],
    "probe": [4, 8, 12, 13],
    "simpson": [4, 8, 12, 13],
    "probe_valid": [5, 10, 13],
    "simpson_valid": [*range(1, 14)],
}


class Run:
    """A training that can be saved and taken up again from what was saved."""

    def __init__(self, folder, taken_up=None, strides=STRIDES, with_state=True):
        self.folder = folder
        self.model = make_transformer(layers=1)
        self.optimizer = make_optimizer(self.model)
        self.updates, weights, moments, state = taken_up or (0, None, None, None)
        if taken_up:
            self.model.load_state_dict(weights)
            self.optimizer.load_state_dict(deepcopy(moments))
        self.recorder = attach_to(
            self.model,
            self.optimizer,
            folder / "parts",
            estimators=strides,
            details={"probe": ["positive"], "fresh": ["helped"]},
            updates=self.updates,
            state=state if with_state else None,
            attributes={"model": "small"},
        )

    def train(self, last):
        train(self.model, self.optimizer, range(self.updates + 1, last + 1), self.recorder)
        self.updates = last
        return self

    def save(self):
        """What a checkpoint holds; the recorder's own state is not copied."""
        state = self.recorder.save()
        weights, moments = self.model.state_dict(), self.optimizer.state_dict()
        return self.updates, deepcopy(weights), deepcopy(moments), state

    def finish(self):
        path = self.folder / "cube.nc"
        self.recorder.finish(path)
        return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The cube of a training in one piece."""
    return Run(tmp_path_factory.mktemp("whole")).train(UPDATES).finish()


def test_every_estimator_has_its_own_steps_and_the_last_interval_is_closed(whole):
    with open_cube(whole) as cube:
        for name in ESTIMATORS:
            assert steps_of(cube, name).tolist() == ENDS[name]
            axis = "step" if len(ENDS[name]) == UPDATES else f"step_{name}"
            assert cube[parse_estimator(name).variable].dims[0] == axis
        assert details_of(cube, "probe") == ["loss_before", "loss", "error", "positive"]
        assert details_of(cube, "fresh") == ["helped"] and details_of(cube, "batch") == []


def test_an_interval_begins_where_the_one_before_it_ended(whole):
    with open_cube(whole) as cube:
        losses = {}
        for name in PROBES:
            before, after = cube[f"{name}_loss_before"].values, cube[f"{name}_loss"].values
            np.testing.assert_array_equal(before[1:], after[:-1])
            losses.setdefault(PROBES[name], set()).add((before[0], after[-1]))
            # At both ends, whatever the strides are: the same loss of the same probe.
            assert len(losses[PROBES[name]]) == 1
        assert losses["train"] != losses["valid"]


@pytest.mark.parametrize("saves", [[1], [6], [4, 8], [3, 4, 10, 13], range(1, 14), [13]])
def test_the_bytes_do_not_depend_on_where_the_parts_end(tmp_path, whole, saves):
    run = Run(tmp_path)
    for update in saves:
        run.train(update).save()
    path = run.train(UPDATES).finish()
    assert [last for _, last, _ in PartStore(tmp_path / "parts").parts()] == sorted({*saves, 13})
    assert path.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("stop", [1, 3, 4, 6, 12])
def test_going_on_from_a_checkpoint_gives_the_same_bits(tmp_path, whole, stop):
    run = Run(tmp_path / "first").train(stop)
    checkpoint = run.save()
    # What was recorded after the checkpoint is lost with the process.
    run.train(stop + 1).recorder.save()
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    run.train(UPDATES)
    again = Run(tmp_path / "second", checkpoint)
    assert PartStore(tmp_path / "second" / "parts").last_update() == stop
    path = again.train(UPDATES).finish()
    assert path.read_bytes() == whole.read_bytes()


def test_the_state_survives_a_file(tmp_path, whole):
    checkpoint = Run(tmp_path).train(7).save()
    torch.save(checkpoint, tmp_path / "checkpoint.pt")
    path = Run(tmp_path, torch.load(tmp_path / "checkpoint.pt")).train(UPDATES).finish()
    assert path.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("strides", [{"probe": 4}, STRIDES], ids=["one probe", "several"])
def test_the_state_of_a_checkpoint_does_not_change_as_training_goes_on(tmp_path, strides):
    run = Run(tmp_path, strides=strides).train(3)
    state = run.save()[3]
    kept = deepcopy(state)
    run.train(9)
    assert state.pop("run") == kept.pop("run")
    torch.testing.assert_close(state, kept, rtol=0, atol=0)
    assert state["4"]["start"] == 0 and run.save()[3]["4"]["start"] == 8


def test_a_checkpoint_where_no_interval_is_open_needs_no_state(tmp_path):
    strides = {"fresh": 3, "probe": 4, "simpson": 2}
    cubes = []
    for name in ("whole", "cut"):
        run = Run(tmp_path / name, strides=strides).train(8)
        checkpoint = run.save()
        if name == "cut":
            assert checkpoint[3].keys() == {"run"}
            run = Run(tmp_path / name, checkpoint, strides, with_state=False)
        cubes.append(run.train(10).finish().read_bytes())
    assert cubes[0] == cubes[1]


@pytest.mark.parametrize(
    ("strides", "message"),
    [
        (STRIDES, "interval of 'probe' around update 7 began at update 4, .*checkpoint every 4"),
        ({"probe": 7}, "interval of 'probe' around update 7 began at update 4, .*state_dict"),
        ({"simpson_valid": 1, "probe_valid": 1}, "'probe_valid' around update 7 .* at update 5"),
        ({"probe": 4}, "interval of 'probe' around update 7 began at update 4"),
    ],
    ids=["same strides", "a multiple of another stride", "stride 1", "without another estimator"],
)
def test_how_an_open_interval_began_must_be_known(tmp_path, strides, message):
    checkpoint = Run(tmp_path).train(7).save()
    before = [path.read_bytes() for _, _, path in PartStore(tmp_path / "parts").parts()]
    run = Run(tmp_path, checkpoint, strides, with_state=strides is not STRIDES)
    with pytest.raises(RecordingError, match=message):
        run.train(8)
    assert [path.read_bytes() for _, _, path in PartStore(tmp_path / "parts").parts()] == before


@pytest.mark.parametrize("with_state", [True, False])
@pytest.mark.parametrize("saved", [True, False])
def test_a_finished_training_that_goes_on_counts_nothing_twice(tmp_path, saved, with_state):
    run = Run(tmp_path).train(10)
    checkpoint = run.save() if saved else None
    run.finish()
    if checkpoint is None:
        weights, moments = run.model.state_dict(), run.optimizer.state_dict()
        checkpoint = (10, weights, moments, run.recorder.recorder.state_dict())
    path = Run(tmp_path, checkpoint, with_state=with_state).train(UPDATES).finish()
    with open_cube(path) as cube:
        assert steps_of(cube, "probe").tolist() == [4, 8, 10, 12, 13]
        for name in PROBES:
            before, after = cube[f"{name}_loss_before"].values, cube[f"{name}_loss"].values
            np.testing.assert_array_equal(before[1:], after[:-1])


@pytest.mark.parametrize("most", [1, 9], ids=["on the host", "on the device"])
def test_a_probe_looked_at_at_two_strides_gives_what_each_gives_alone(tmp_path, monkeypatch, most):
    monkeypatch.setattr(intervals, "MOST_COPIES", most)
    both = Run(tmp_path / "both", strides={"probe": 2, "simpson": 3}).train(9).finish()
    for name, stride in (("probe", 2), ("simpson", 3)):
        alone = Run(tmp_path / name, strides={name: stride}).train(9).finish()
        with open_cube(both) as left, open_cube(alone) as right:
            for variable in (f"lca_{name}", f"{name}_loss_before", f"{name}_error"):
                np.testing.assert_array_equal(left[variable].values, right[variable].values)


def test_a_validation_loss_after_the_last_save_is_kept(tmp_path):
    run = Run(tmp_path)
    run.recorder.add_valid_loss(3.0)
    run.train(4).save()
    run.recorder.add_valid_loss(2.5)
    with open_cube(run.finish()) as cube:
        assert cube["valid_step"].values.tolist() == [0, 4]
        assert cube["valid_loss"].values.tolist() == [3.0, 2.5]


def test_a_training_without_updates_has_no_cube(tmp_path):
    with pytest.raises(ValueError, match="holds no part"):
        Run(tmp_path).finish()
    assert list(tmp_path.rglob("*.nc")) == []
