"""What was recorded is on disk or still in memory; folders belong to one recording at a time."""

import os
import resource
import signal
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from losschange.cube.format import open_cube
from losschange.cube.layout import CubeError
from losschange.cube.parts import PartStore
from small_models import attach_to, make_optimizer, make_transformer, train

pytestmark = pytest.mark.usefixtures("one_thread")


@contextmanager
def no_room(most=3000):
    """Files of this process may not grow beyond a few bytes, as on a disk that is full."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        signal.signal(signal.SIGXFSZ, handler)


def open_files(folder):
    """Files below a folder that this process holds open."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            found.append(os.readlink(link))
        except OSError:
            continue
    return [name for name in found if name.startswith(str(folder)) and ".lock" not in name]


def recorded(folder, fail_at=()):
    """The cube of a training of 9 updates, saved every third; some saves find no room at first."""
    model = make_transformer()
    optimizer = make_optimizer(model)
    recorder = attach_to(
        model, optimizer, folder / "parts", estimators={"probe": 2, "fresh": 1}, attributes={"a": 1}
    )
    for first in (1, 4, 7):
        train(model, optimizer, range(first, first + 3), recorder)
        recorder.add_valid_loss(first)
        if first in fail_at:
            parts = PartStore(folder / "parts").parts()
            for most in (1, 700, 3000, 20000):
                with (
                    no_room(most),
                    pytest.raises(CubeError, match="could not be written .*try again"),
                ):
                    recorder.save()
            assert PartStore(folder / "parts").parts() == parts
            assert not list((folder / "parts").glob(".part*"))
            assert not open_files(folder)
            if first == 4:
                continue  # and only the next save succeeds
        recorder.save()
    if "cube" in fail_at:
        with no_room(), pytest.raises(CubeError, match="could not be written"):
            recorder.finish(folder / "cube.nc")
        assert not open_files(folder)
        assert not [path for path in folder.iterdir() if path.is_file()]
    recorder.finish(folder / "cube.nc")
    with open_cube(folder / "cube.nc") as cube:
        return cube.load()


def test_a_save_that_found_no_room_is_made_up_for_by_the_next(tmp_path):
    whole = recorded(tmp_path / "whole")
    again = recorded(tmp_path / "again", fail_at=(1, 4, 7, "cube"))
    assert whole.sizes["step"] == 9 and len(whole["valid_step"]) == 3
    assert whole.identical(again)


def test_attaching_tries_the_folder_by_writing(tmp_path):
    model = make_transformer()
    with no_room(most=100), pytest.raises(CubeError, match="nothing can be written to .*parts"):
        attach_to(model, make_optimizer(model), tmp_path / "parts")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "parts").write_text("a file")
    with pytest.raises(CubeError, match="nothing can be written to .*parts"):
        attach_to(model, make_optimizer(model), tmp_path / "parts")


def test_two_recordings_do_not_share_a_folder(tmp_path):
    first, second = make_transformer(), make_transformer(seed=1)
    optimizers = [make_optimizer(model) for model in (first, second)]
    recorder = attach_to(first, optimizers[0], tmp_path / "parts")
    with pytest.raises(CubeError, match="another recording writes to .*parts"):
        attach_to(second, optimizers[1], tmp_path / "parts")
    train(second, optimizers[1], 2)  # the refused recorder left the optimizer alone
    train(first, optimizers[0], 2, recorder)
    recorder.finish(tmp_path / "cube.nc")
    with open_cube(tmp_path / "cube.nc") as cube:
        assert cube.sizes["step"] == 2


@pytest.mark.slow
def test_a_folder_is_locked_against_other_processes_and_free_after_their_death(tmp_path):
    program = textwrap.dedent(
        """
        import sys, time
        from small_models import attach_to, make_optimizer, make_transformer
        model = make_transformer()
        recorder = attach_to(model, make_optimizer(model), sys.argv[1])
        print("attached", flush=True)
        time.sleep(100)
        """
    )
    here = Path(__file__).parents[1]
    paths = os.pathsep.join([str(here), str(here.parent / "scripts")])
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "parts")],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert other.stdout.readline() == "attached\n"
        model = make_transformer()
        with pytest.raises(CubeError, match="another recording writes to"):
            attach_to(model, make_optimizer(model), tmp_path / "parts")
    finally:
        other.kill()
        other.wait()
    attach_to(model, make_optimizer(model), tmp_path / "parts").detach()


def interrupted(folder):
    """A recording of 4 updates that was never ended: (model, optimizer, recorder, state)."""
    model = make_transformer()
    optimizer = make_optimizer(model)
    recorder = attach_to(model, optimizer, folder)
    train(model, optimizer, 4, recorder)
    return model, optimizer, recorder, recorder.save()


def test_a_training_that_goes_on_takes_over_from_its_interrupted_self(tmp_path):
    model, optimizer, old, state = interrupted(tmp_path / "parts")
    new = attach_to(model, optimizer, tmp_path / "parts", updates=4, state=state)
    with pytest.raises(CubeError, match="a later recording goes on"):
        train(model, optimizer, range(5, 6), new)
    old.detach()
    train(model, optimizer, range(5, 6), new)
    with pytest.raises(CubeError, match="a later recording goes on"):
        old.recorder.store.write(5, None, {}, {}, [], {})
    new.finish(tmp_path / "cube.nc")
    with open_cube(tmp_path / "cube.nc") as cube:
        assert cube.sizes["step"] == 5


def test_a_detached_recording_does_not_write_over_another(tmp_path):
    model, optimizer, old, state = interrupted(tmp_path / "parts")
    train(model, optimizer, range(5, 7), old)
    old.detach()
    new_model = make_transformer()
    new_model.load_state_dict(model.state_dict())
    parts = {path: path.read_bytes() for path in (tmp_path / "parts").iterdir()}
    with pytest.raises(CubeError, match="ends with another model"):
        attach_to(new_model, make_optimizer(new_model), tmp_path / "parts", updates=4, state=state)
    assert {path: path.read_bytes() for path in (tmp_path / "parts").iterdir()} == parts
    old.save()
    assert PartStore(tmp_path / "parts").last_update() == 6


def test_parts_of_a_model_of_the_same_shapes_are_refused(tmp_path):
    model, optimizer, old, state = interrupted(tmp_path / "mine")
    other, others, theirs, _ = interrupted(tmp_path / "theirs")
    for recorder in (old, theirs):
        recorder.detach()
    with pytest.raises(CubeError, match="of another recording than the checkpoint's state"):
        attach_to(model, optimizer, tmp_path / "theirs", updates=4, state=state)
    with torch.no_grad():
        model.layers[1].first.weight[0, 0] += 1e-6
    with pytest.raises(CubeError, match="ends with another model .*Load the checkpoint before"):
        attach_to(model, optimizer, tmp_path / "mine", updates=4, state=state)


def test_the_marks_of_parts_are_not_in_the_cube(tmp_path):
    cube = recorded(tmp_path)
    assert not {"run", "parameters"} & set(cube.attrs)
    with open_cube(PartStore(tmp_path / "parts").parts()[0][2]) as part:
        assert len(part.attrs["run"]) == 16 and len(part.attrs["parameters"]) == 16
    assert np.isfinite(cube["lr"]).all()
