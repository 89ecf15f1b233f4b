"""What must not matter: micro-batches, a scale on the loss, half precision in the forward pass."""

import numpy as np
import pytest
import torch

from losschange.cube.format import open_cube
from losschange.cube.parts import PartStore
from small_models import (
    PROBES,
    attach_to,
    make_optimizer,
    make_transformer,
    make_words,
    word_loss,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def record(folder, backward, model=None, optimizer=None, updates=8, **options):
    """The cube of a training whose gradients `backward(model, words, update)` makes."""
    model = model or make_transformer(layers=1)
    optimizer = optimizer or make_optimizer(model)
    recorder = attach_to(model, optimizer, folder / "parts", **{"estimators": ["probe"], **options})
    for update in range(1, updates + 1):
        optimizer.zero_grad()
        backward(model, make_words(32, seed=1000 + update), update)
        optimizer.step()
    recorder.finish(folder / "cube.nc")
    with open_cube(folder / "cube.nc") as cube:
        return cube.load()


def whole_batch(model, words, update):
    word_loss(model, words).backward()


def in_autocast(loss):
    def half(*arguments):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return loss(*arguments)

    return half


def difference(cube, other, variable):
    """Largest difference of a cell at a step, as a share of what all cells of a step change."""
    found, expected = cube[variable].values, other[variable].values
    size = np.nansum(np.abs(expected), axis=(1, 2, 3)).mean()
    assert np.array_equal(np.isnan(found), np.isnan(expected)) and size > 1e-3
    return np.nanmax(np.abs(found - expected)) / size


@pytest.mark.parametrize("pieces", [4, 16])
def test_micro_batches_give_what_the_whole_batch_gives(tmp_path, pieces):
    def in_pieces(model, words, update):
        for part in words.chunk(pieces):
            (word_loss(model, part) / pieces).backward()

    whole = record(tmp_path / "whole", whole_batch)
    parts = record(tmp_path / "pieces", in_pieces)
    for variable in ("lca", "lca_probe"):
        assert difference(parts, whole, variable) < 1e-4


@pytest.mark.parametrize("scale", [1024.0, 0.125])
def test_a_scale_on_the_loss_does_not_change_a_bit(tmp_path, scale):
    """A power of two, and Adam divides it out again."""

    def scaled(model, words, update):
        (word_loss(model, words) * scale).backward()

    cubes = []
    for name, backward, factor in (("plain", whole_batch, 1.0), ("scaled", scaled, scale)):
        model = make_transformer(layers=1)
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, eps=1e-8 * factor)
        # What waits for its factor may be known on the device only.
        waiting = {"gradient_scale": lambda scale=factor: torch.tensor(1 / scale)}
        details = {"details": {"batch": ["positive", "helped"]}}
        cubes.append(record(tmp_path / name, backward, model, optimizer, **waiting, **details))
    for variable in ("lca", "lca_probe", "lca_positive", "helped"):
        found, expected = (cube[variable].values for cube in cubes)
        np.testing.assert_array_equal(found, expected)
    assert np.nanmin(cubes[0]["lca"].values) < -1e-3


def test_a_step_that_overflowed_is_not_recorded(tmp_path):
    """torch.amp.GradScaler takes the scale off the gradients and skips steps that overflow."""
    model = make_transformer(layers=1)
    optimizer = make_optimizer(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    recorder = attach_to(model, optimizer, tmp_path / "scaled", estimators=["probe"])
    plain_model = make_transformer(layers=1)
    plain = make_optimizer(plain_model)
    watched = attach_to(plain_model, plain, tmp_path / "plain", estimators=["probe"])
    for update in range(1, 7):
        words = make_words(16, seed=1000 + update)
        optimizer.zero_grad()
        scaler.scale(word_loss(model, words)).backward()
        if update in (1, 4):
            model.embedding.weight.grad[0, 0] = float("inf")
        recorder.describe(tokens=update)
        scaler.step(optimizer)
        scaler.update()
        if update not in (1, 4):
            plain.zero_grad()
            word_loss(plain_model, words).backward()
            plain.step()
    cubes = []
    for name, one in (("scaled", recorder), ("plain", watched)):
        one.finish(tmp_path / f"{name}.nc")
        with open_cube(tmp_path / f"{name}.nc") as cube:
            cubes.append(cube.load())
    assert PartStore(tmp_path / "scaled").last_update() == 4
    assert cubes[0]["tokens"].values.tolist() == [2, 3, 5, 6]
    for variable in ("lca", "lca_probe"):
        assert difference(*cubes, variable) < 1e-5


def test_half_precision_in_the_forward_pass_is_within_two_percent(tmp_path):
    """bfloat16 keeps 8 bits; the same steps are allocated by both precisions."""

    def backward(model, words, update):
        in_autocast(word_loss)(model, words).backward()

    def same_batch(model, update):
        return word_loss(model, make_words(32, seed=1000 + update))

    model = make_transformer(layers=1)
    optimizer = make_optimizer(model)
    full = attach_to(
        model, optimizer, tmp_path / "full", estimators=["fresh", "probe"], fresh=same_batch
    )
    half = record(
        tmp_path / "half",
        backward,
        model,
        optimizer,
        updates=40,
        probes={split: in_autocast(loss) for split, loss in PROBES.items()},
    )
    full.finish(tmp_path / "full.nc")
    with open_cube(tmp_path / "full.nc") as cube:
        full = cube.load().drop_vars("lca").rename(lca_fresh="lca")
    for variable in ("lca", "lca_probe"):
        # It is another precision, and its differences are small.
        assert 1e-5 < difference(half, full, variable) < 0.02
        sums = [float(cube[variable].sum()) for cube in (half, full)]
        assert sums[0] == pytest.approx(sums[1], rel=0.02)
    change = float(half["probe_loss"][-1] - half["probe_loss_before"][0])
    assert float(half["lca_probe"].sum()) == pytest.approx(change, rel=0.02) and change < -0.3
