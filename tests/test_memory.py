"""How many copies of the parameters recording keeps, and what it costs to keep fewer."""

import gc

import pytest

from estimator_names import PROBES
from losschange.recording import probe_schedule as intervals
from losschange.recording.allocation import FlatVector
from small_models import attach_to, make_optimizer, make_transformer, train

pytestmark = pytest.mark.usefixtures("one_thread")

ALL = dict.fromkeys(("fresh", *PROBES), 1)
STRIDED = {"fresh": 2, "probe": 3, "simpson": 3, "probe_valid": 3, "simpson_valid": 3}


def record(folder, strides, updates=7, **options):
    """A recorder after some updates of a small training."""
    model = make_transformer(layers=1)
    optimizer = make_optimizer(model)
    recorder = attach_to(model, optimizer, folder / "parts", estimators=strides, **options)
    train(model, optimizer, updates, recorder)
    return recorder


def rows_alive():
    """Copies of the parameters that exist now."""
    gc.collect()
    return sum(type(thing) is FlatVector for thing in gc.get_objects())


@pytest.mark.parametrize(
    ("strides", "copies"), [({}, 1), ({"probe": 1}, 2), ({"probe": 5}, 3), (ALL, 3), (STRIDED, 3)]
)
def test_at_most_three_copies_between_two_updates(tmp_path, strides, copies):
    before = rows_alive()
    recorder = record(tmp_path, strides)
    assert rows_alive() - before == copies, recorder


@pytest.mark.parametrize("strides", [ALL, STRIDED], ids=["every update", "strided"])
def test_gradients_kept_on_the_host_give_the_same_bits(tmp_path, monkeypatch, strides):
    paths = [tmp_path / name / "cube.nc" for name in ("device", "host")]
    for path, most in zip(paths, (9, 1), strict=True):
        monkeypatch.setattr(intervals, "MOST_COPIES", most)
        record(path.parent, strides).finish(path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
