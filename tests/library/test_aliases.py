"""Tensors that are written to again, and modules that stand behind a wrapper."""

import numpy as np
import pytest
import torch

from library_reference import batch_loss
from losschange.cube.format import open_cube
from losschange.errors import RecordingError
from losschange.recording.attachment import attach
from small_models import (
    PROBES,
    attach_to,
    make_optimizer,
    make_transformer,
    train,
    transformer_schema,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_learning_rate_in_a_tensor_is_recorded_as_it_was_at_each_update(tmp_path):
    model = make_transformer()
    optimizer = torch.optim.AdamW(model.parameters(), lr=torch.tensor(1e-3))
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    recorder = attach_to(model, optimizer, tmp_path / "parts")
    for update in range(1, 5):
        train(model, optimizer, range(update, update + 1))
        scheduler.step()
    recorder.finish(tmp_path / "cube.nc")
    with open_cube(tmp_path / "cube.nc") as cube:
        np.testing.assert_allclose(cube["lr"], [1e-3, 1e-3 / 2, 1e-3 / 3, 1e-3 / 4], rtol=1e-6)


def test_running_sums_are_recorded_as_they_were_when_they_were_told(tmp_path):
    model = make_transformer()
    optimizer = make_optimizer(model)
    scale, probe_loss = torch.ones(()), torch.zeros((), dtype=torch.float64)

    def probe(model):
        loss = PROBES["train"](model).double()
        probe_loss.copy_(loss.detach())
        return probe_loss + (loss - loss.detach())

    recorder = attach_to(
        model, optimizer, tmp_path / "parts", gradient_scale=lambda: scale, estimators=["probe"],
        probes={"train": probe},
    )  # fmt: skip
    optimizer.register_step_post_hook(lambda *_: scale.zero_())
    total, tokens = torch.zeros(()), np.zeros(())
    for update in range(1, 4):
        batch_loss(update)(model).backward()
        total += update
        tokens += 10 * update
        scale.fill_(1.0)
        recorder.describe(loss=total, tokens=tokens)
        optimizer.step()
        total.zero_()
        tokens *= 0
    recorder.finish(tmp_path / "cube.nc")
    with open_cube(tmp_path / "cube.nc") as cube:
        assert cube["loss"].values.tolist() == [1, 2, 3]
        assert cube["tokens"].values.tolist() == [10, 20, 30]
        assert (abs(cube["lca"].sum(("layer", "component", "head"))) > 0).all()
        assert len(set(cube["probe_loss"].values)) == 3


@pytest.mark.parametrize(
    ("series", "message"),
    [
        ({"los": 1.0}, "unknown series 'los'; allowed: loss, tokens"),
        ({"loss": torch.ones(3)}, r"'loss' was given a tensor of shape \(3,\)"),
        ({"tokens": "many"}, "'tokens' was given 'many'; it takes one number"),
    ],
)
def test_numbers_of_an_update_are_checked_when_they_are_told(tmp_path, series, message):
    model = make_transformer()
    recorder = attach_to(model, make_optimizer(model), tmp_path)
    with pytest.raises(RecordingError, match=message):
        recorder.describe(**series)


@pytest.mark.parametrize("part", [False, True], ids=["whole", "one layer"])
def test_compiled_models_are_seen_through(tmp_path, part):
    model = make_transformer()
    if part:
        model.layers[1] = torch.compile(model.layers[1], backend="eager")
        given = model
    else:
        given = torch.compile(model, backend="eager")
        assert next(iter(given.named_parameters()))[0].startswith("_orig_mod.")
    recorder = attach(
        given,
        optimizer := make_optimizer(model),
        transformer_schema(),
        tmp_path / "parts",
        estimators=["probe"],
        probes=PROBES,
    )
    assert not any("_orig_mod" in name for name in recorder.recorder.partition.names)
    before = PROBES["train"](model).item()
    for update in range(1, 4):
        optimizer.zero_grad()
        batch_loss(update)(given).backward()
        optimizer.step()
    recorder.finish(tmp_path / "cube.nc")
    with open_cube(tmp_path / "cube.nc") as cube:
        assert float(cube["probe_loss_before"][0]) == pytest.approx(before, rel=1e-6)
