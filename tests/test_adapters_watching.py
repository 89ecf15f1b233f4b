"""Sums shown while a training runs, by the real TensorBoard and the real Weights & Biases."""

import json

import numpy as np
import pytest

from losschange.cube.format import open_cube
from losschange.errors import RecordingError
from small_models import attach_to, make_optimizer, make_transformer, train

pytestmark = pytest.mark.usefixtures("one_thread")
UPDATES, EVERY = 7, 3


def recorded(folder, watcher):
    """Train with a watcher; the cube in memory."""
    model = make_transformer()
    optimizer = make_optimizer(model)
    recorder = attach_to(
        model, optimizer, folder / "parts", estimators={"probe": 2}, watchers=[watcher]
    )
    train(model, optimizer, 4, recorder)
    recorder.save()
    train(model, optimizer, range(5, UPDATES + 1), recorder)
    recorder.finish(folder / "cube.nc")
    with open_cube(folder / "cube.nc") as cube:
        return cube.load()


def check(points, cube):
    """Compare {tag: {update: value}} with sums of the cube."""
    labels = cube["label"].values.astype(str).tolist()
    assert set(points["losschange/batch/all"]) == {3, 6, 7}
    for tag, values in points.items():
        _, estimator, *place = tag.split("/")
        lca = cube["lca" if estimator == "batch" else "lca_probe"].sum("head", min_count=1)
        if place == ["all"]:
            lca = lca.sum(("layer", "component"))
        else:
            lca = lca.isel(layer=labels.index(place[0])).sel(component=place[1])
        steps = lca[lca.dims[0]].values
        start = 0
        for update in sorted(values):
            wanted = float(lca.values[(steps > start) & (steps <= update)].sum())
            assert values[update] == pytest.approx(wanted, rel=1e-4, abs=1e-7), (tag, update)
            start = update
    cells = int((np.isfinite(cube["lca"].isel(step=0)).sum("head") > 0).sum())
    assert len(points) == 2 * (cells + 1)


def test_tensorboard_shows_the_sums(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from losschange.adapters.tensorboard import TensorBoardWatcher

    cube = recorded(tmp_path, TensorBoardWatcher(tmp_path / "runs", every=EVERY))
    events = EventAccumulator(str(tmp_path / "runs"))
    events.Reload()
    check(
        {
            tag: {event.step: event.value for event in events.Scalars(tag)}
            for tag in events.Tags()["scalars"]
        },
        cube,
    )


def records_of(log):
    """The records of a .wandb file: after 7 bytes a log of LevelDB, blocks of 32 KiB.

    A piece has a checksum of 4 bytes, its length in 2, and its kind in 1: whole, first, middle or
    last.
    """
    place, record = 7, b""
    while place + 7 <= len(log):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        length, kind = int.from_bytes(log[place + 4 : place + 6], "little"), log[place + 6]
        record += log[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            yield record
            record = b""


def test_weights_and_biases_offline_shows_the_sums(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb", reason="wandb is not in the lock: see tools/lock.toml")
    from wandb.proto import wandb_internal_pb2

    from losschange.adapters.weights_and_biases import UPDATE, WandbWatcher

    for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    run = wandb.init(mode="offline", dir=tmp_path, project="losschange")
    cube = recorded(tmp_path, WandbWatcher(run, every=EVERY))
    run.log({"mine": 1.0})
    run.finish()
    wandb.teardown()  # waits until the process that writes the file has ended
    (path,) = tmp_path.rglob("*.wandb")
    points = {}
    for data in records_of(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        found = {
            item.key or "/".join(item.nested_key): json.loads(item.value_json)
            for item in record.history.item
        }
        for tag, value in found.items():
            if tag.startswith("losschange/") and tag != UPDATE:
                points.setdefault(tag, {})[found[UPDATE]] = value
    check(points, cube)


@pytest.mark.parametrize("every", [0, -1, 1.5, "often"])
def test_a_distance_that_is_none_is_refused(tmp_path, every):
    pytest.importorskip("tensorboard")
    from losschange.adapters.tensorboard import TensorBoardWatcher

    with pytest.raises(RecordingError, match="it must be a number of updates"):
        TensorBoardWatcher(tmp_path, every)
