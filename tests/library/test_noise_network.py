"""The noise scale of a network's cube, against the covariance over its whole text."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from losschange import attach, noise_scale, open_cube, parts, resampled_parts
from losschange.analysis.noise_scale import two_batch_noise_scale
from losschange.recording.partition import Rule, Schema

pytestmark = pytest.mark.usefixtures("one_thread")

SAMPLES, INPUTS, CLASSES, RATE, UPDATES = 96, 6, 4, 2e-3, 300
SMALL, LARGE = 8, 48
SCHEMA = Schema(("embedding", "encoder", "output"), 1, (Rule("0.*", "W1", 1), Rule("2.*", "W2", 1)))


def text():
    """Inputs and labels that a linear rule and chance decide together."""
    random = torch.Generator().manual_seed(3)
    inputs = torch.randn(SAMPLES, INPUTS, generator=random)
    scores = inputs @ torch.randn(INPUTS, CLASSES, generator=random)
    labels = (scores + 2 * torch.randn(SAMPLES, CLASSES, generator=random)).argmax(dim=1)
    return inputs, labels


def network():
    torch.manual_seed(4)
    return torch.nn.Sequential(
        torch.nn.Linear(INPUTS, 10), torch.nn.Tanh(), torch.nn.Linear(10, CLASSES)
    )


def gradients(model, rows):
    """Gradients (len(rows), parameters) of single samples."""
    inputs, labels = text()
    found = []
    for row in rows:
        loss = functional.cross_entropy(model(inputs[row : row + 1]), labels[row : row + 1])
        each = torch.autograd.grad(loss, list(model.parameters()))
        found.append(torch.cat([g.flatten() for g in each]).double())
    return torch.stack(found)


def draw(batch, seed):
    return torch.randint(SAMPLES, (batch,), generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """An open cube of SGD with small steps, and |G|^2 and tr(C) over the whole text, halfway."""
    folder = tmp_path_factory.mktemp("network")
    inputs, labels = text()
    model = network()

    def loss(model, rows):
        return functional.cross_entropy(model(inputs[rows]), labels[rows])

    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    recorder = attach(
        model,
        optimizer,
        SCHEMA,
        folder / "parts",
        estimators=("batch", "fresh"),
        fresh=lambda model, update: loss(model, torch.arange(SAMPLES)),
    )
    for update in range(UPDATES):
        if update == UPDATES // 2:
            each = gradients(model, range(SAMPLES))
        optimizer.zero_grad()
        loss(model, draw(SMALL, update)).backward()
        optimizer.step()
    recorder.finish(folder / "cube.nc")
    signal = float((each.mean(dim=0) ** 2).sum())
    trace = float(each.var(dim=0, correction=0).sum())
    return open_cube(folder / "cube.nc").load(), signal, trace, each


def test_noise_is_that_of_the_covariance_over_the_whole_text(trained):
    cube, signal, trace, _ = trained
    noise = float(parts(cube, by=())["value"].sel(part="noise")) / UPDATES
    assert noise == pytest.approx(-RATE * trace / SMALL, rel=0.05)
    scale = noise_scale(cube, SMALL, by=())
    assert float(scale["value"]) == pytest.approx(trace / signal, rel=0.05)
    assert scale["low"] < trace / signal < scale["high"]


def test_mccandlishs_estimate_is_that_of_the_cube(trained):
    """From norms at two batch sizes on the same network."""
    cube, _, _, each = trained
    norms = {
        size: np.array([float((each[draw(size, s)].mean(dim=0) ** 2).sum()) for s in range(400)])
        for size in (SMALL, LARGE)
    }
    found = two_batch_noise_scale(norms[SMALL], norms[LARGE], SMALL, LARGE)
    assert float(noise_scale(cube, SMALL, by=())["value"]) == pytest.approx(found.value, rel=0.2)


def test_resampled_parts_have_the_values_and_intervals_of_the_parts(trained):
    cube = trained[0]
    by = ("component",)
    found, told = resampled_parts(cube, by, draws=200), parts(cube, by, draws=200)
    whole = found.sel(term="noise").isel(window=0)
    expected = told.sel(part="noise")
    np.testing.assert_allclose(whole["value"], expected["value"])
    low, high = np.percentile(whole["drawn"], (2.5, 97.5), axis=0)
    np.testing.assert_allclose(np.fmin(low, whole["value"]), expected["low"], rtol=1e-5)
    np.testing.assert_allclose(np.fmax(high, whole["value"]), expected["high"], rtol=1e-5)
    assert found.sizes["window"] == told.sizes["window"] + 1
    assert np.isnan(found["value"].sel(term="measured")).all()
    assert "measured part cannot be told" in found.attrs["cannot_tell"]
    batch = found["value"].sel(term="batch").isel(window=0).sum()
    assert float(batch) == pytest.approx(float(np.nansum(cube["lca"].values, dtype="f8")))
