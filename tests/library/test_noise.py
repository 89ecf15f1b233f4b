"""The paper's estimator in three parts, and the noise scale, against trainings with known noise.

The loss of a batch is curvature / 2 * |w|^2 + w . (mean of the batch's samples), so that a sample's
gradient has the covariance of the samples of a text, whatever the parameters are.
"""

import functools

import numpy as np
import pytest
import torch

from losschange.analysis.noise import cannot_tell, parts, update_parts
from losschange.analysis.noise_pieces import NoiseError
from losschange.analysis.noise_scale import noise_scale, two_batch_noise_scale
from losschange.analysis.summaries import summarise_cube
from losschange.cube.format import open_cube
from losschange.cube.layout import Cell, CubeLayout
from losschange.cube.writer import CubeWriter
from losschange.recording.attachment import attach
from losschange.recording.partition import Rule, Schema
from synthetic_cubes import write_cube

pytestmark = pytest.mark.usefixtures("one_thread")

SAMPLES = 64
FIRST_ORDER = ("batch", "fresh")
SCHEMA = Schema(
    ("embedding", "encoder", "output"),
    2,
    (Rule("key", "key", 1, "rows"), Rule("W1", "W1", 1), Rule("frozen", "norm", 2)),
)


class Quadratic(torch.nn.Module):
    """A matrix of two heads, one of none, and one that is not moved; 550 parameters that are."""

    def __init__(self):
        super().__init__()
        self.key = torch.nn.Parameter(torch.zeros(10, 15))
        self.W1 = torch.nn.Parameter(torch.zeros(400))
        self.frozen = torch.nn.Parameter(torch.zeros(30))

    def flat(self):
        return torch.cat([p.flatten() for p in (self.key, self.W1, self.frozen)])


def make_text(mean, seed=0):
    """Samples (SAMPLES, parameters) of a gradient, drawn with deviation 1; `mean` is theirs."""
    drawn = np.random.default_rng(seed).standard_normal((SAMPLES, 580))
    return mean + drawn - drawn.mean(axis=0)


def trace_of(text, moved=slice(0, 550)):
    """Trace of the covariance of a sample's gradient over the parameters that are moved."""
    return text[:, moved].var(axis=0).sum()


def record(
    folder, optimizer, batch=8, mean=0.0, curvature=0.5, updates=250, strides=None, whole=False
):
    """An open cube of a training on batches drawn with replacement from a text, or on all of it.

    Every run of the same arguments draws the same batches, whatever it records.
    """
    text = torch.tensor(make_text(mean), dtype=torch.float32)

    def loss(model, rows):
        weights = model.flat()
        return curvature / 2 * weights @ weights + weights @ text[rows].mean(dim=0)

    def draw(seed):
        rows = torch.randint(SAMPLES, (batch,), generator=torch.Generator().manual_seed(seed))
        return torch.arange(SAMPLES) if whole else rows

    model = Quadratic()
    groups = [{"params": [model.key, model.W1]}, {"params": [model.frozen], "lr": 0.0}]
    optimizer = optimizer(groups)
    recorder = attach(
        model,
        optimizer,
        SCHEMA,
        folder / "parts",
        estimators=strides or ("batch", "fresh", "simpson"),
        probes={"train": lambda model: loss(model, torch.arange(SAMPLES))},
        fresh=lambda model, update: loss(model, draw(100_000 + update)),
    )
    for update in range(updates):
        optimizer.zero_grad()
        loss(model, draw(update)).backward()
        optimizer.step()
    recorder.finish(folder / "cube.nc")
    return open_cube(folder / "cube.nc").load()


def sgd(rate, momentum=0.0):
    return functools.partial(torch.optim.SGD, lr=rate, momentum=momentum)


def adam(groups):
    return torch.optim.Adam(groups, lr=1e-3, betas=(0.9, 0.98))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """SGD with rate 0.1 on batches of 8, all three estimators at every update."""
    return record(tmp_path_factory.mktemp("plain"), sgd(0.1))


@pytest.fixture(scope="module")
def strided(tmp_path_factory):
    """The same training, seen at every fourth update by fresh and every sixth by Simpson's rule."""
    strides = {"batch": 1, "fresh": 4, "simpson": 6}
    return record(tmp_path_factory.mktemp("strided"), sgd(0.1), strides=strides)


def per_update(cube, part, **options):
    """Of the whole model: (value, low, high) of a part per update."""
    found = parts(cube, by=(), **options).sel(part=part)
    return np.array([float(found[name]) for name in ("value", "low", "high")]) / cube.sizes["step"]


def test_noise_under_sgd_is_the_rate_times_the_trace_over_the_batch_size(plain):
    value, low, high = per_update(plain, "noise")
    expected = -0.1 * trace_of(make_text(0.0)) / 8
    assert value == pytest.approx(expected, rel=0.02)
    assert low < expected < high
    assert high - low < 0.1 * abs(expected)


def test_curvature_is_that_of_the_quadratic_loss(plain):
    """G.D - S = -curvature / 2 * |D|^2, and simpson + curvature is then the first order."""
    found = parts(plain, by=())
    change = plain["simpson_loss"][-1] - plain["simpson_loss_before"][0]
    assert float(found["value"].sel(part="measured")) == pytest.approx(float(change), rel=1e-3)
    steps = update_parts(plain, by=()).sel(part="curvature").values
    # In equilibrium |D|^2 = rate^2 * (trace / batch) * 2 / (2 - rate * curvature).
    late = -0.25 * 0.01 * trace_of(make_text(0.0)) / 8 * 2 / (2 - 0.05)
    # fresh's own error is as large as its value in one update; 150 updates average it.
    assert steps[100:].mean() == pytest.approx(late, abs=4 * steps[100:].std() / 150**0.5)


def test_the_parts_add_up_to_the_papers_estimator(plain):
    """In every cell, window and update."""
    found = parts(plain)
    batch = plain["lca"].values.astype("f8").sum(axis=0)
    np.testing.assert_allclose(found["value"].sum("part", skipna=False), batch, rtol=1e-9)
    np.testing.assert_allclose(found["batch"], batch, rtol=1e-9)
    np.testing.assert_allclose(
        found["window_value"].sum("part", skipna=False), found["window_batch"], rtol=1e-9
    )
    np.testing.assert_allclose(found["window_value"].sum("window", skipna=False), found["value"])
    updates = update_parts(plain, by=("layer", "component", "head"))
    np.testing.assert_allclose(
        updates.sum("part", skipna=False), plain["lca"].values, rtol=1e-6, atol=1e-12
    )
    np.testing.assert_allclose(updates.sum("step", skipna=False), found["value"], rtol=1e-9)


def test_heads_sum_to_the_matrix_and_a_frozen_cell_has_nothing(plain):
    by_head = parts(plain)["value"].sel(layer=1, component="key")
    matrix = parts(plain, by=("component", "layer"))["value"].sel(layer=1, component="key")
    np.testing.assert_allclose(by_head.sum("head"), matrix, rtol=1e-12)
    assert (abs(by_head.isel(head=slice(1, None))) > 0).all() and np.isnan(by_head[:, 0]).all()
    frozen = parts(plain, by=("component",)).sel(component="norm")
    for name in ("value", "low", "high", "batch"):
        np.testing.assert_array_equal(frozen[name], 0)
    assert np.isnan(noise_scale(plain, 8, by=("component",))["value"].sel(component="norm"))


def test_each_cell_has_the_noise_of_its_own_parameters(plain):
    found = parts(plain, by=("component",)).sel(part="noise")
    for component, moved in (("key", slice(0, 150)), ("W1", slice(150, 550))):
        expected = -25 * trace_of(make_text(0.0), moved) / 8
        cell = found.sel(component=component)
        assert float(cell["value"]) == pytest.approx(expected, rel=0.05)


def test_a_batch_of_the_whole_text_has_no_noise(tmp_path):
    cube = record(tmp_path, sgd(0.1), mean=0.3, whole=True, updates=20)
    found = parts(cube, by=())
    noise = found["value"].sel(part="noise")
    assert abs(float(noise)) < 1e-6 * abs(float(found["batch"]))


def test_where_there_is_no_noise_the_interval_holds_nothing(tmp_path):
    """Training batches that have nothing to do with the steps: the noise is chance alone."""
    missed = 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        values = {
            "batch": random.normal(-1, 0.5, (100, 1)),
            "fresh": random.normal(-1, 0.5, (100, 1)),
        }
        layout = CubeLayout(("embedding", "output"), 1, (Cell(0, "embedding"),), (1,))
        steps = np.arange(1, 101)
        path = tmp_path / f"{seed}.nc"
        with CubeWriter(path, layout, steps, {}, {"fresh": steps}) as writer:
            writer.write(0, values=values)
        with open_cube(path) as cube:
            noise = parts(cube, by=(), windows=1, draws=300).sel(part="noise")
            missed += not noise["low"] <= 0 <= noise["high"]
            assert 14 < noise["high"] - noise["low"] < 42  # four deviations of the sum are 28
    assert missed <= 6  # of 40, 2 are expected


def test_equal_norms_at_two_batch_sizes_are_no_covariance():
    missed = 0
    for seed in range(60):
        small, large = 1 + np.random.default_rng(seed).normal(0, 0.5, (2, 100))
        found = two_batch_noise_scale(small, large, 4, 64, draws=200, seed=seed)
        missed += not found.low <= 0 <= found.high
    assert missed <= 9  # of 60, 3 are expected


def test_momentum_at_the_same_effective_rate_leaves_one_minus_beta_of_the_noise(tmp_path, plain):
    momentum = record(tmp_path, sgd(0.01, momentum=0.9), updates=200, strides=FIRST_ORDER)
    ratio = per_update(momentum, "noise")[0] / per_update(plain, "noise")[0]
    assert ratio == pytest.approx(0.1, rel=0.1)


def test_noise_under_adam_falls_with_the_root_of_the_batch_size(tmp_path):
    """Where noise fills the second moment; under SGD the ratio would be 1/4."""
    noise = []
    for batch in (8, 32):
        (tmp_path / str(batch)).mkdir()
        cube = record(tmp_path / str(batch), adam, batch, 0.0, 0.0, 100, FIRST_ORDER)
        noise.append(per_update(cube, "noise")[0])
    assert noise[1] / noise[0] == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize(("optimizer", "momentum"), [("sgd", 0.0), ("sgd", 0.9), ("adam", 0.9)])
def test_the_noise_scale_is_the_trace_over_the_squared_gradient(tmp_path, optimizer, momentum):
    """A loss without curvature: the gradient of the whole text is always the text's mean."""
    text = make_text(0.5)
    expected = trace_of(text) / (text[:, :550].mean(axis=0) ** 2).sum()
    assert 3 < expected < 4
    rule = sgd(0.01, momentum) if optimizer == "sgd" else adam
    strides = FIRST_ORDER if momentum else None
    cube = record(tmp_path, rule, 4, 0.5, curvature=0.0, updates=150, strides=strides)
    found = noise_scale(cube, 4, optimizer, momentum, by=(), windows=2)
    # Adam's metric weighs parameters by their own second moments, which differ by chance here.
    assert float(found["value"]) == pytest.approx(expected, rel=0.15 if momentum else 0.05)
    assert found["low"] < found["value"] < found["high"]
    assert found.sizes["window"] == 2 and found["window_first"].values.tolist() == [1, 76]
    np.testing.assert_allclose(found["window_value"], expected, rtol=0.3)
    assert ("metric" in found.attrs["assumption"]) == (optimizer == "adam")
    if strides is None:
        curvature = parts(cube, by=()).sel(part="curvature")
        assert curvature["low"] <= 0 <= curvature["high"]


def test_mccandlishs_estimate_agrees_with_the_text_and_with_the_cube(tmp_path):
    text = make_text(0.5)[:, :550]
    expected = trace_of(text) / (text.mean(axis=0) ** 2).sum()
    random = np.random.default_rng(5)
    norms = {
        size: [(text[random.integers(0, SAMPLES, size)].mean(axis=0) ** 2).sum() for _ in range(60)]
        for size in (4, 32)
    }
    found = two_batch_noise_scale(np.array(norms[4]), np.array(norms[32]), 4, 32)
    assert found.value == pytest.approx(expected, rel=0.2)
    assert found.low < expected < found.high
    assert found.trace == pytest.approx(trace_of(text), rel=0.1)
    cube = record(tmp_path, sgd(0.01), 4, 0.5, curvature=0.0, updates=60, strides=FIRST_ORDER)
    assert float(noise_scale(cube, 4, by=())["value"]) == pytest.approx(found.value, rel=0.2)


def test_mccandlishs_estimate_solves_its_two_equations():
    """|G|^2 = 3 and tr(C) = 24 give norms of 3 + 24 / B; one pair has no interval."""
    found = two_batch_noise_scale(3 + 24 / 2, 3 + 24 / 8, 2, 8)
    assert (found.signal, found.trace, found.value) == pytest.approx((3, 24, 8))
    assert np.isnan(found.low) and np.isnan(found.high)
    assert np.isnan(two_batch_noise_scale(24 / 2, 24 / 9, 2, 8).value)  # |G|^2 < 0
    with pytest.raises(NoiseError, match="ascend"):
        two_batch_noise_scale(1.0, 2.0, 8, 2)
    with pytest.raises(NoiseError, match="pairs"):
        two_batch_noise_scale(np.ones(3), np.ones(4), 2, 8)


def test_strides_give_the_same_parts_within_their_intervals(strided, plain):
    exact, found = parts(plain, by=()), parts(strided, by=())
    np.testing.assert_allclose(found["batch"], exact["batch"], rtol=1e-6)
    assert float(found["value"].sum("part")) == pytest.approx(float(found["batch"]), rel=1e-9)
    assert found.sizes["window"] == 4
    assert set(found["window_last"].values.tolist()) <= {*range(0, 250, 6), 250}
    for part in ("measured", "noise"):
        one = found.sel(part=part)
        assert one["low"] <= float(exact["value"].sel(part=part)) <= one["high"]
    # With a quarter of the records, fresh's sampling error is larger, and so is the interval.
    ends = [each.sel(part="noise") for each in (exact, found)]
    widths = [float(each["high"] - each["low"]) for each in ends]
    assert widths[1] > 1.2 * widths[0]
    with pytest.raises(NoiseError, match="does not look at every update"):
        update_parts(strided)


def test_windows_must_end_where_intervals_of_simpsons_rule_do(strided):
    found = parts(strided, by=(), edges=[12, 60, 120])
    assert found["window_first"].values.tolist() == [13, 61]
    batch = strided["lca"].values.astype("f8")
    sums = [np.nansum(batch[12:60]), np.nansum(batch[60:120])]
    np.testing.assert_allclose(found["window_batch"], sums, rtol=1e-9)
    assert float(found["batch"]) == pytest.approx(sum(sums), rel=1e-9)
    losses = strided["simpson_loss"].values
    measured = found["window_value"].sel(part="measured")
    # Simpson's intervals 3 to 10 and 11 to 20.
    np.testing.assert_allclose(measured, [losses[9] - losses[1], losses[19] - losses[9]], atol=1e-4)
    with pytest.raises(NoiseError, match="after update 50.*nearest are 48 and 54"):
        parts(strided, edges=[0, 50, 120])
    with pytest.raises(NoiseError, match="ascend"):
        parts(strided, edges=[60, 12])


def test_a_window_without_a_fresh_record_is_refused(tmp_path):
    write_cube(tmp_path / "cube.nc", layers=2, estimators={"fresh": 50, "simpson": 5})
    with (
        open_cube(tmp_path / "cube.nc") as cube,
        pytest.raises(NoiseError, match="no fresh gradient was recorded in updates 1 to 45"),
    ):
        parts(cube, edges=[0, 45])


def test_a_run_too_short_to_resample_has_no_interval(tmp_path):
    write_cube(tmp_path / "cube.nc", layers=2, estimators={"fresh": 1, "simpson": 25})
    with open_cube(tmp_path / "cube.nc") as cube:
        found = parts(cube, by=())
    assert found.sizes["window"] == 1 and np.isfinite(found["value"]).all()
    assert np.isnan(found["low"]).all() and np.isnan(found["high"]).all()


def test_a_cube_says_which_part_it_cannot_tell(tmp_path):
    write_cube(tmp_path / "fresh.nc", layers=2, estimators={"fresh": 2})
    with open_cube(tmp_path / "fresh.nc") as cube:
        found = parts(cube, by=())
    assert found.attrs["cannot_tell"] == (
        "The measured part cannot be told, because simpson was not recorded. "
        "The curvature part cannot be told, because simpson was not recorded."
    )
    assert np.isnan(found["value"].values).tolist() == [True, True, False]
    write_cube(tmp_path / "simpson.nc", layers=2, estimators={"simpson": 5})
    with open_cube(tmp_path / "simpson.nc") as cube:
        found = parts(cube, by=())
        assert "noise part cannot be told, because fresh was" in found.attrs["cannot_tell"]
        assert np.isnan(found["value"].values).tolist() == [False, True, True]
        with pytest.raises(NoiseError, match="no noise scale without noise. The curvature"):
            noise_scale(cube, 8)
        with pytest.raises(NoiseError, match="fresh was not recorded"):
            update_parts(cube)
    assert cannot_tell(["batch", "fresh", "simpson"]) == ""


def test_a_summary_gives_the_parts_of_its_cube(tmp_path):
    path = tmp_path / "cube.nc"
    write_cube(path, layers=2, steps=300, estimators={"fresh": 4, "simpson": 3})
    summary = summarise_cube(path)
    with open_cube(path) as cube:
        exact = parts(cube, by=("layer", "component"))
        sizes = noise_scale(cube, by=())
        low, high = cube["sample_size"].values.min(), cube["sample_size"].values.max()
        factor = float(sizes["value"] / noise_scale(cube, 1, by=())["value"])
        assert low < factor < high
    found = parts(summary, by=("layer", "component"))
    np.testing.assert_allclose(found["batch"], exact["batch"], rtol=1e-6)
    measured = found["value"].sel(part="measured")
    np.testing.assert_allclose(measured, exact["value"].sel(part="measured"), rtol=1e-6)
    # The pieces are other ones, and with them the weights of fresh's records.
    noise = exact.sel(part="noise").sel(layer=1, component="W1")
    assert noise["low"] < found["value"].sel(part="noise", layer=1, component="W1") < noise["high"]
    assert all(last % 3 == 0 for last in found["window_last"].values)
    with pytest.raises(NoiseError, match="give it as batch_size"):
        noise_scale(summary)


def one_cell_cube(path, steps, simpson_steps, **values):
    """A cube of one cell; numbers (steps,) of each estimator."""
    layout = CubeLayout(("embedding", "output"), 1, (Cell(0, "embedding"),), (1,))
    at = {"fresh": steps, "simpson": simpson_steps}
    with CubeWriter(path, layout, steps, {}, at) as writer:
        for name, numbers in values.items():
            writer.write(0, values={name: np.asarray(numbers, dtype=float)[:, None]})
    return path


def test_windows_stop_where_simpsons_intervals_do(tmp_path):
    """Updates after its last interval are in none of the sums, of the cube and of its summary."""
    steps = np.arange(1, 41)
    values = {"batch": np.full(40, -3.0), "fresh": np.full(40, -2.0), "simpson": np.full(18, -3.0)}
    path = one_cell_cube(tmp_path / "cube.nc", steps, steps[1:36:2], **values)
    with open_cube(path) as cube:
        for source in (cube, summarise_cube(path)):
            found = parts(source, by=())
            assert (found.attrs["first_update"], found.attrs["last_update"]) == (1, 36)
            assert found["value"].values == pytest.approx([-54, -18, -36])
            assert float(found["batch"]) == pytest.approx(-108)
            # Every piece is alike, so the interval has no width.
            np.testing.assert_allclose(found["low"], found["high"])


def test_numbers_that_are_not_finite_and_missing_updates_are_refused(tmp_path):
    steps = np.arange(1, 41)
    values = {name: np.full(40, -1.0) for name in ("batch", "fresh", "simpson")}
    values["fresh"][7] = np.nan
    path = one_cell_cube(tmp_path / "nan.nc", steps, steps, **values)
    with open_cube(path) as cube, pytest.raises(NoiseError, match="fresh holds numbers"):
        parts(cube)
    values["fresh"][7] = -1
    broken = np.append(steps[:-1], 50)
    path = one_cell_cube(tmp_path / "gap.nc", broken, broken, **values)
    with open_cube(path) as cube, pytest.raises(NoiseError, match="lacks the updates before 50"):
        parts(cube)


def test_what_cannot_be_meant_is_refused(plain):
    with pytest.raises(NoiseError, match="cannot sum by"):
        parts(plain, by=("depth",))
    with pytest.raises(NoiseError, match="unknown optimizer"):
        noise_scale(plain, 8, "lion")
    with pytest.raises(NoiseError, match="beta1"):
        noise_scale(plain, 8, "adam")
    with pytest.raises(NoiseError, match="below 1"):
        noise_scale(plain, 8, momentum=1.0)
