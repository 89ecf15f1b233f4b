"""A summary holds the sum of all LCA against the change of the loss that was measured."""

import numpy as np
import pytest
import torch

from losschange.analysis.conservation import MEASURES, reference_measure
from losschange.analysis.summaries import open_summary, summarise_cube, write_summary
from losschange.cube.format import open_cube
from losschange.cube.layout import CubeError
from losschange.cube.writer import CubeWriter
from losschange.recording.attachment import attach
from losschange.recording.partition import Rule, Schema
from synthetic_cubes import make_layout, model_attributes, write_cube

STEPS = 230
STRIDES = {"fresh": 10, "probe": 7, "simpson": 3, "probe_valid": 1, "simpson_valid": 100}
PROBES = ("probe", "simpson", "probe_valid", "simpson_valid")


@pytest.fixture(scope="module")
def cube_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("cubes") / "clm-en.nc"
    write_cube(path, "clm-en", STEPS, layers=2, heads=2, estimators=STRIDES)
    return path


@pytest.fixture(scope="module")
def whole(cube_path):
    with open_cube(cube_path) as cube:
        return cube.load()


@pytest.fixture(scope="module")
def summary(cube_path):
    return summarise_cube(cube_path)


def record_sums(whole, estimator):
    """Sum over all cells of every record, in float64."""
    values = whole[f"lca_{estimator}" if estimator != "batch" else "lca"].values
    return np.nansum(values.astype("f8"), axis=(1, 2, 3))


def test_a_probe_measures_from_its_first_interval_to_its_last(whole, summary):
    # of two estimators on one text, the one that looked more often
    for measure, estimator in (("training_probe", "simpson"), ("validation_probe", "probe_valid")):
        before, after = whole[f"{estimator}_loss_before"], whole[f"{estimator}_loss"]
        found = summary["measured_change"].sel(measure=measure).item()
        assert found == after.values[-1] - before.values[0] < -5


def test_every_estimator_is_divided_by_every_measured_change(whole, summary):
    assert summary["over_count"].dims == ("estimator", "measure")
    assert summary["measure"].values.tolist() == list(MEASURES)
    for estimator in ("batch", *STRIDES):
        share = 23 / STEPS if estimator == "fresh" else 1
        total = record_sums(whole, estimator).sum() / share
        found = summary.sel(estimator=estimator)
        assert found["scaled_total"].item() == pytest.approx(total)
        expected = total / summary["measured_change"].values
        np.testing.assert_allclose(found["over_count"], expected)


def test_each_estimator_is_held_against_its_own_text(summary):
    held = dict(zip(summary["estimator"].values, summary["reference"].values, strict=True))
    assert held.pop("probe_valid") == held.pop("simpson_valid") == "validation_probe"
    assert set(held.values()) == {"training_probe"}


@pytest.mark.parametrize(
    ("measured", "reference"),
    [
        (["training", "validation", "validation_probe", "training_probe"], "training_probe"),
        (["training", "validation", "validation_probe"], "validation_probe"),
        (["training", "validation"], "validation"),
        (["training"], "training"),
        ([], "none"),
    ],
)
def test_without_a_probe_the_best_measured_loss_stands_in(measured, reference):
    assert reference_measure("batch", measured) == reference


@pytest.mark.parametrize("estimator", PROBES)
def test_errors_are_those_that_the_recorder_wrote(whole, summary, estimator):
    errors = whole[f"{estimator}_error"].values
    found = summary.sel(estimator=estimator)
    assert found["conservation_error"].item() == pytest.approx(errors.sum(), abs=1e-6)
    assert found["largest_interval_error"].item() == pytest.approx(np.abs(errors).max(), abs=1e-6)
    typical = np.sqrt(np.mean(errors**2))
    assert found["rms_interval_error"].item() == pytest.approx(typical, abs=1e-6)
    reference = found["reference"].item()
    ratio = found["over_count"].sel(measure=reference).item()
    assert found["relative_conservation_error"].item() == pytest.approx(ratio - 1, abs=1e-6)


def test_only_probes_have_conservation_errors(summary):
    for name in ("conservation_error", "relative_conservation_error", "rms_interval_error"):
        assert np.isnan(summary[name].sel(estimator=["batch", "fresh"])).all()


def test_the_last_interval_counts_the_updates_that_it_spans(whole, summary):
    probe = summary.sel(estimator="probe")
    # 32 intervals of 7 updates and one of 6
    assert (probe["stride"], probe["records"], probe["coverage"]) == (7, 33, 1)
    steps = whole["step_probe"].values
    assert steps[-2:].tolist() == [224, 230]
    inside = steps > STEPS - summary.attrs["window"]
    spanned = np.diff(steps, prepend=0)[inside].sum()
    values = whole["lca_probe"].astype("f8").sum("head", min_count=1).values[inside]
    expected = values.sum(axis=0) / spanned
    np.testing.assert_allclose(probe["moving_average"][-1], expected, rtol=1e-9)
    assert spanned == 4 * 7 - 1


def test_an_interval_longer_than_the_training_is_one_record(tmp_path):
    write_cube(tmp_path / "c.nc", steps=40, layers=2, heads=2, estimators={"probe": 1000})
    summary = summarise_cube(tmp_path / "c.nc").sel(estimator="probe")
    assert (summary["stride"], summary["records"], summary["coverage"]) == (40, 1, 1)
    total = summary["total"].item()
    np.testing.assert_allclose(summary["cumulative"], total * np.arange(1, 41) / 40)


def test_a_sample_that_never_came_is_named_with_its_remedy(tmp_path):
    layout = make_layout("clm", 2, 2)
    steps, none = np.arange(1, 5), np.zeros(0, dtype=int)
    attributes = model_attributes("clm-en")
    with CubeWriter(tmp_path / "c.nc", layout, steps, attributes, {"fresh": none}) as writer:
        writer.write(0, values={"batch": np.ones((4, len(layout.cells)))})
    with pytest.raises(CubeError, match="fresh has no records in this cube of 4 updates; train"):
        summarise_cube(tmp_path / "c.nc")


@pytest.mark.parametrize("estimator", ["batch", *STRIDES])
def test_cumulative_sums_pass_through_every_record(whole, summary, estimator):
    axis = whole["lca" if estimator == "batch" else f"lca_{estimator}"].dims[0]
    found = summary["cumulative"].sel(estimator=estimator)
    share = 23 / STEPS if estimator == "fresh" else 1
    at_records = found.sel(bin=whole[axis].values)
    expected = record_sums(whole, estimator).cumsum() / share
    np.testing.assert_allclose(at_records, expected, rtol=1e-9)
    assert found[-1].item() == pytest.approx(summary["scaled_total"].sel(estimator=estimator))


def test_between_two_records_the_sum_runs_straight(whole, summary):
    found = summary["cumulative"].sel(estimator="simpson_valid")
    first, second = record_sums(whole, "simpson_valid")[:2]
    assert found.sel(bin=50).item() == pytest.approx(first / 2)
    assert found.sel(bin=125).item() == pytest.approx(first + second / 4)


def test_the_measured_course_ends_at_the_measured_change(whole, summary):
    changes = summary["loss_change"]
    np.testing.assert_allclose(changes[:, -1], summary["measured_change"], rtol=1e-9)
    losses = whole["simpson_loss"].values - whole["simpson_loss_before"].values[0]
    at = whole["step_simpson"].values
    np.testing.assert_allclose(changes.sel(measure="training_probe", bin=at), losses, rtol=1e-9)
    valid = whole["valid_loss"].values
    steps = whole["valid_step"].values
    found = changes.sel(measure="validation", bin=steps[1:])
    np.testing.assert_allclose(found, valid[1:] - valid[0])
    window = summary.attrs["window"]
    loss = whole["loss"].values.astype("f8")
    expected = loss[100 - window : 100].mean() - summary["loss_first"].item()
    assert changes.sel(measure="training", bin=100).item() == pytest.approx(expected)


def test_a_bin_holds_the_measured_change_of_the_records_that_end_in_it(whole, summary):
    found = summary["binned_change"]
    change = whole["probe_loss"].values - whole["probe_loss_before"].values
    expected = np.zeros(STEPS)
    expected[whole["step_probe"].values - 1] = change
    np.testing.assert_allclose(found.sel(estimator="probe"), expected)
    # Without a probe of its own: the changes of the reference.
    expected = summary["measured_change"].sel(measure="training_probe")
    np.testing.assert_allclose(found.sel(estimator=["batch", "fresh"]).sum("bin"), expected)


def test_without_probes_their_measures_are_unknown(tmp_path):
    write_cube(tmp_path / "c.nc", steps=40, layers=2, heads=2)
    summary = summarise_cube(tmp_path / "c.nc")
    known = np.isfinite(summary["measured_change"])
    assert summary["measure"].values[known].tolist() == ["training", "validation"]
    assert np.isnan(summary["loss_change"].sel(measure="training_probe")).all()
    assert summary["reference"].item() == "validation"


def test_every_number_has_a_unit_and_a_meaning(summary, tmp_path):
    write_summary(summary, tmp_path / "s.nc")
    with open_summary(tmp_path / "s.nc") as written:
        assert written.attrs["summary_format"] == 5
        assert written["reference"].values.tolist() == summary["reference"].values.tolist()
        names = (
            "total",
            "scaled_total",
            "cumulative",
            "loss_change",
            "measured_change",
            "binned_change",
        )
        for name in (*names, "over_count", "conservation_error", "rms_interval_error"):
            assert written[name].attrs["units"] in ("nats", "1") and written[name].long_name


class Loop:
    """A training loop of plain PyTorch with a recorder attached."""

    schema = Schema(
        ("embedding", "decoder", "output"),
        2,
        (
            Rule(r"0\.weight", "embedding", 0),
            Rule(r"1\.weight", "W1", 1),
            Rule(r"1\.bias", "bias", 1),
            Rule(r"3\.weight", "output", 2),
            Rule(r"3\.bias", "bias", 2),
        ),
    )

    def __init__(self):
        torch.manual_seed(0)
        self.model = torch.nn.Sequential(
            torch.nn.Embedding(20, 8),
            torch.nn.Linear(8, 16),
            torch.nn.Tanh(),
            torch.nn.Linear(16, 20),
        )
        self.words = torch.arange(20).repeat(4)

    def loss(self, model, words):
        """Cross-entropy of a fixed mapping of words."""
        return torch.nn.functional.cross_entropy(model(words), (words * 7 + 3) % 20)

    def record(self, folder, updates, estimators):
        """Train, and write folder/cube.nc."""
        optimizer = torch.optim.AdamW(self.model.parameters(), 1e-2)
        probes = {
            "train": lambda model: self.loss(model, self.words[:40]),
            "valid": lambda model: self.loss(model, self.words[10:30]),
        }
        recorder = attach(
            self.model, optimizer, self.schema, folder / "parts", estimators, probes=probes
        )
        for update in range(updates):
            loss = self.loss(self.model, self.words[update % 60 : update % 60 + 10])
            optimizer.zero_grad()
            loss.backward()
            recorder.describe(loss=loss)
            optimizer.step()
        recorder.finish(folder / "cube.nc", {"model": "mlp", "objective": "clm"})
        return folder / "cube.nc"


def test_a_recorded_training_adds_up(tmp_path):
    loop = Loop()
    with torch.no_grad():
        before = loop.loss(loop.model, loop.words[:40]).item()
    strides = {"probe": 1, "simpson": 4, "probe_valid": 3}
    summary = summarise_cube(loop.record(tmp_path, 50, strides))
    with torch.no_grad():
        after = loop.loss(loop.model, loop.words[:40]).item()
    change = summary["measured_change"].sel(measure="training_probe").item()
    assert change == pytest.approx(after - before, rel=1e-5) and change < -0.5
    relative = abs(summary["relative_conservation_error"])
    assert relative.sel(estimator="probe") < 0.01
    assert relative.sel(estimator="simpson") < 0.001
    assert summary["coverage"].sel(estimator=list(strides)).values.tolist() == [1, 1, 1]
    # no training probe would call this conserved
    batch = summary["over_count"].sel(estimator="batch", measure="training_probe").item()
    assert abs(batch - 1) > 0.01


def test_lost_bytes_never_end_in_anything_but_an_error_of_the_cube(cube_path, tmp_path):
    content = cube_path.read_bytes()
    told = 0
    for start in range(0, len(content) - 300, len(content) // 25):
        lost = content[:start] + bytes(300) + content[start + 300 :]
        (tmp_path / "c.nc").write_bytes(lost)
        try:
            summarise_cube(tmp_path / "c.nc")
        except CubeError:
            told += 1
    assert told > 5
