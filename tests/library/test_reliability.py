"""Where numbers mislead, the log and the cube say so, once; adaptive Simpson is the default."""

import logging

import numpy as np
import pytest
import torch

from losschange import attach
from losschange.cube.format import open_cube
from losschange.errors import RecordingError
from losschange.recording.probe_integrator import ADAPTIVE_ERROR, ROUNDING
from small_models import attach_to, make_optimizer, make_transformer, train

pytestmark = pytest.mark.usefixtures("one_thread")


def warned(tmp_path, caplog, rate, estimators, sentences=16, updates=8):
    """(warnings in the log, attribute of the cube) of a training saved every other update."""
    model = make_transformer(layers=1)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    recorder = attach_to(model, optimizer, tmp_path / "parts", estimators=estimators)
    with caplog.at_level(logging.WARNING, "losschange"):
        for first in range(1, updates + 1, 2):
            train(model, optimizer, range(first, first + 2), recorder, sentences=sentences)
            recorder.save()
        recorder.finish(tmp_path / "cube.nc")
    with open_cube(tmp_path / "cube.nc") as cube:
        return [r.getMessage() for r in caplog.records], cube.attrs.get("warnings"), cube.load()


def test_a_poor_interval_is_told_once_by_its_update(tmp_path, caplog):
    log, attribute, cube = warned(tmp_path, caplog, rate=2.0, estimators={"probe": 2})
    change = cube["probe_loss"] - cube["probe_loss_before"]
    poor = np.abs(cube["probe_error"]) > 0.05 * np.abs(change)
    first = int(cube["step_probe"][poor.values][0])
    told = [text for text in log if f"At update {first} the cells of 'probe' sum to" in text]
    assert len(told) == 1 and told[0] in attribute
    assert poor.sum() > 1


def test_a_batch_that_counts_too_much_is_told_once(tmp_path, caplog):
    log, attribute, _ = warned(tmp_path, caplog, rate=0.5, estimators=["simpson"], sentences=1)
    told = [text for text in log if text.startswith('"batch" sums to')]
    assert len(told) == 1 and '"batch" sums to' in attribute


def test_nothing_is_told_of_numbers_that_hold(tmp_path, caplog):
    log, attribute, _ = warned(tmp_path, caplog, rate=0.05, estimators=["simpson"], sentences=64)
    assert log == [] and attribute is None


def test_simpson_splits_by_itself(tmp_path):
    errors = {}
    for quadrature in ("adaptive", "fixed"):
        model = make_transformer(layers=1)
        optimizer = make_optimizer(model, rate=0.05)
        recorder = attach_to(
            model, optimizer, tmp_path / quadrature, estimators=["simpson"],
            **({} if quadrature == "adaptive" else {"quadrature": quadrature}),
        )  # fmt: skip
        train(model, optimizer, 6, recorder)
        recorder.finish(tmp_path / "cube.nc")
        with open_cube(tmp_path / "cube.nc") as cube:
            change = np.abs(cube["simpson_loss"] - cube["simpson_loss_before"]).values
            allowed = np.maximum(ADAPTIVE_ERROR * change, ROUNDING * cube["simpson_loss"].values)
            errors[quadrature] = np.abs(cube["simpson_error"].values) / allowed
    assert errors["fixed"].max() > 1.5 and errors["adaptive"].max() <= 1.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quadrature": "gauss"}, "unknown quadrature 'gauss'; allowed: adaptive, fixed"),
        ({"quadrature": "fixed", "simpson_tolerance": 0.1}, 'needs quadrature="adaptive"'),
        ({"simpson_tolerance": 0.0}, "simpson_tolerance is 0.0; it must be above 0"),
    ],
)
def test_a_quadrature_that_makes_no_sense_is_refused(tmp_path, options, message):
    model = make_transformer()
    with pytest.raises(RecordingError, match=message):
        attach_to(model, make_optimizer(model), tmp_path / "parts", **options)


@pytest.mark.parametrize("tracked", [True, False])
def test_statistics_that_move_the_loss_of_a_probe_are_told_once(tmp_path, caplog, tracked):
    torch.manual_seed(0)
    norm = torch.nn.BatchNorm1d(6, track_running_stats=tracked)
    model = torch.nn.Sequential(torch.nn.Linear(4, 6), norm, torch.nn.Linear(6, 1))
    inputs = 3 + torch.randn(32, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with caplog.at_level(logging.WARNING, "losschange"):
        recorder = attach(
            model, optimizer, folder=tmp_path / "parts", estimators=["simpson"],
            probes={"train": lambda model: model(inputs).square().mean()}, quadrature="fixed",
        )  # fmt: skip
        for _ in range(4):
            optimizer.zero_grad()
            model(inputs).square().mean().backward()
            optimizer.step()
        recorder.finish(tmp_path / "cube.nc")
    told = [r.getMessage() for r in caplog.records if "running statistics of '1'" in r.getMessage()]
    with open_cube(tmp_path / "cube.nc") as cube:
        errors = abs(cube["simpson_error"]) / abs(
            cube["simpson_loss"] - cube["simpson_loss_before"]
        )
        assert (float(errors.max()) > 0.05) == tracked
        assert ("running statistics" in cube.attrs.get("warnings", "")) == tracked
    assert len(told) == tracked
