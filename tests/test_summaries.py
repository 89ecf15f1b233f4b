"""A summary says what a slow reading of the whole cube says."""

import numpy as np
import pytest

import summarise_cube
from common.files import UserError
from losschange.analysis.summaries import SummaryError, open_summary
from losschange.analysis.summaries import summarise_cube as summarise
from losschange.cube.format import open_cube
from losschange.cube.layout import Cell, CubeError, CubeLayout
from losschange.cube.writer import CubeWriter
from synthetic_cubes import make_layout, model_attributes, write_cube

STEPS = 2300  # more than two runs of steps, not a multiple of one
WINDOW = 230


@pytest.fixture(scope="module")
def cube_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("cubes") / "mt-en-de.nc"
    write_cube(path, "mt-en-de", STEPS, layers=4, heads=2, estimators={"probe": 7, "fresh": 10})
    return path


@pytest.fixture(scope="module")
def whole(cube_path):
    with open_cube(cube_path) as cube:
        return cube.load()


@pytest.fixture(scope="module")
def summary(cube_path):
    return summarise(cube_path)


def cells(whole, variable):
    """Sums over heads (steps, layer, component) in float64, NaN where there is no cell."""
    return whole[variable].astype("f8").sum("head", min_count=1)


@pytest.mark.parametrize(
    "estimator, variable", [("batch", "lca"), ("probe", "lca_probe"), ("fresh", "lca_fresh")]
)
def test_totals_are_sums_over_steps(whole, summary, estimator, variable):
    expected = whole[variable].values.astype("f8").sum(axis=0)
    np.testing.assert_allclose(summary["totals"].sel(estimator=estimator), expected, rtol=1e-12)


def test_moving_averages_are_exact_across_runs_of_steps(whole, summary):
    values = cells(whole, "lca").values
    centres = summary["point"].values
    assert summary.attrs["window"] == WINDOW
    assert centres[0] == (1 + WINDOW) / 2 and centres[-1] == STEPS - (WINDOW - 1) / 2
    for point, centre in enumerate(centres):
        first = int(centre - (WINDOW - 1) / 2)
        expected = values[first - 1 : first - 1 + WINDOW].mean(axis=0)
        found = summary["moving_average"].sel(estimator="batch")[point]
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-18)


def test_moving_average_of_a_strided_probe_is_per_update(whole, summary):
    steps = whole["step_probe"].values
    values = cells(whole, "lca_probe").values
    centre = summary["point"].values[40]
    inside = (steps > centre - WINDOW / 2) & (steps < centre + WINDOW / 2)
    expected = values[inside].mean(axis=0) / 7
    found = summary["moving_average"].sel(estimator="probe")[40]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-18)


def test_positives_are_counted_over_layers_and_steps(whole, summary):
    values = cells(whole, "lca").values
    batch = summary.sel(estimator="batch")
    positive = values > 0
    exists = ~np.isnan(values).all(axis=0)
    assert np.array_equal(batch["positive_count"].values[exists], positive.sum(axis=0)[exists])
    assert np.isnan(batch["positive_count"].values[~exists]).all()
    expected = positive.sum(axis=(0, 1))
    assert np.array_equal(batch["component_positive_count"].fillna(0), expected)
    name = list(summary["component"].values).index("W2")
    last = np.flatnonzero(positive[:, :, name].any(axis=1)).max() + 1
    assert batch["component_last_positive_step"].values[name] == last


@pytest.mark.parametrize("unit_convention", ["per_token", "summed", "scaled", "summed_scaled"])
def test_largest_positive_is_found_under_each_unit_convention(whole, summary, unit_convention):
    factor = {
        "per_token": np.ones(STEPS),
        "summed": whole["sample_size"].values,
        "scaled": whole["loss_scale"].values,
        "summed_scaled": whole["sample_size"].values * whole["loss_scale"].values.astype("f8"),
    }[unit_convention]
    values = cells(whole, "lca").sel(component="W1").values * factor[:, None]
    step, layer = np.unravel_index(np.nanargmax(values), values.shape)
    found = summary.sel(estimator="batch", unit_convention=unit_convention, component="W1")
    assert found["component_largest_positive"] == pytest.approx(values[step, layer])
    assert found["component_largest_positive_step"] == step + 1
    assert found["component_largest_positive_layer"] == layer


def test_bins_hold_count_sum_and_largest_of_positive_values(whole, summary):
    values = np.maximum(cells(whole, "lca").sel(component="W1").values, 0)[:, 3]
    found = summary.sel(estimator="batch", component="W1").isel(layer=3)
    first, last = summary["bin_first"].values, summary["bin"].values
    assert first[0] == 1 and last[-1] == STEPS and np.array_equal(first[1:], last[:-1] + 1)
    parts = [values[a - 1 : b] for a, b in zip(first, last, strict=True)]
    assert np.array_equal(found["binned_positive_count"], [(p > 0).sum() for p in parts])
    plain = found.sel(unit_convention="per_token")
    np.testing.assert_allclose(plain["binned_positive_sum"], [p.sum() for p in parts])
    np.testing.assert_allclose(plain["binned_positive_max"], [p.max() for p in parts])


@pytest.mark.parametrize(
    "estimator, variable, axis", [("batch", "lca", "step"), ("probe", "lca_probe", "step_probe")]
)
def test_t90_is_the_first_step_with_ninety_percent_of_the_total(
    whole, summary, estimator, variable, axis
):
    share = cells(whole, variable).cumsum(axis) / cells(whole, variable).sum(axis)
    for layer, component in [(0, "embedding"), (1, "key"), (4, "cross_out"), (5, "norm")]:
        one = share.sel(layer=layer, component=component).values
        expected = whole[axis].values[np.flatnonzero(one >= 0.9)[0]]
        found = summary["t90"].sel(estimator=estimator, layer=layer, component=component)
        assert found == expected


def test_conservation_compares_the_sum_with_the_measured_change(whole, summary):
    change = whole["valid_loss"].values[-1] - whole["valid_loss"].values[0]
    total = np.nansum(whole["lca"].values.astype("f8"))
    found = summary["over_count"].sel(estimator="batch", measure="validation")
    assert found == pytest.approx(total / change)
    # fresh batches at one update in ten see a tenth of the way, a probe sees all of it
    assert summary["coverage"].values.tolist() == [1, 0.1, 1]
    loss = whole["loss"].values.astype("f8")
    assert summary["loss_first"] == pytest.approx(loss[:10].mean())
    assert summary["loss_last"] == pytest.approx(loss[-WINDOW:].mean())
    assert np.array_equal(summary["n_parameters"], whole["n_parameters"])


def write_small(path, blocks, **series):
    layout = CubeLayout(
        ("embedding", "decoder", "output"), 2, (Cell(0, "embedding"), Cell(1, "key", 1)), (3, 4)
    )
    steps = np.arange(1, len(blocks) + 1)
    with CubeWriter(path, layout, steps, model_attributes("clm-en")) as writer:
        ones = {name: np.ones(len(blocks)) for name in ("loss", "sample_size", "loss_scale")}
        writer.write(0, ones | series, {"batch": np.array(blocks, dtype=float).reshape(-1, 2)})
    return path


def test_a_missing_value_is_named_with_its_place(tmp_path):
    path = write_small(tmp_path / "c.nc", [[1, 2], [3, np.nan]])
    with pytest.raises(CubeError, match="layer 1, component key, head 1, step 2"):
        summarise(path)


def test_a_cube_without_steps_is_refused(tmp_path):
    with pytest.raises(SummaryError, match="records no steps"):
        summarise(write_small(tmp_path / "c.nc", []))


def test_a_single_step_is_enough(tmp_path):
    summary = summarise(write_small(tmp_path / "c.nc", [[-1, 2]]))
    assert summary["total"].item() == 1
    assert summary["component_last_positive_step"].sel(component="key").item() == 1


def test_a_unit_convention_is_unknown_where_its_factor_is(tmp_path):
    path = write_small(tmp_path / "c.nc", [[1, 1], [1, 1]], loss_scale=np.array([1, np.nan]))
    largest = summarise(path)["component_largest_positive"].sel(component="key").squeeze()
    assert largest.sel(unit_convention="summed") == 1 and np.isnan(
        largest.sel(unit_convention="scaled")
    )


def test_a_positive_total_has_a_t90_and_zero_has_none(tmp_path):
    summary = summarise(write_small(tmp_path / "c.nc", [[1, 1], [8, -1], [1, 0]]))
    assert summary["t90"].sel(component="embedding", layer=0) == 2
    assert np.isnan(summary["t90"].sel(component="key", layer=1))


def test_script_writes_identical_bytes(cube_path, tmp_path):
    for name in ("a", "b"):
        output = tmp_path / name / "mt.nc"
        summarise_cube.main(["--cube", str(cube_path), "--output", str(output)])
    assert (tmp_path / "a/mt.nc").read_bytes() == (tmp_path / "b/mt.nc").read_bytes()
    with open_summary(tmp_path / "a/mt.nc") as written:
        assert written.attrs["model"] == "mt-en-de"
        assert written["label"].values.tolist()[1:4] == ["enc.1", "enc.2", "dec.3"]


def test_script_refuses_a_damaged_cube_and_leaves_nothing(cube_path, tmp_path):
    damaged = tmp_path / "damaged.nc"
    content = bytearray(cube_path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20000] = bytes(20000)
    damaged.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        summarise_cube.main(["--cube", str(damaged), "--output", str(tmp_path / "out" / "s.nc")])
    assert not (tmp_path / "out").exists()


def test_other_files_are_no_summaries(cube_path, tmp_path):
    with pytest.raises(SummaryError, match="no summary of format"):
        open_summary(cube_path)
    with pytest.raises(FileNotFoundError, match="summarise_cube.py"):
        open_summary(tmp_path / "absent.nc")


@pytest.mark.parametrize("objective", ["clm", "mlm", "mt"])
def test_synthetic_layouts_have_the_cells_of_their_objective(objective):
    layout = make_layout(objective, layers=2, heads=2)
    names = {cell.component for cell in layout.cells}
    assert ("cross_key" in names) == (objective == "mt")
    assert ("position" in names) == (objective == "mlm")


@pytest.mark.parametrize("estimator, axis", [("batch", "step"), ("probe", "step_probe")])
def test_bins_and_blocks_share_out_the_totals_in_time(whole, summary, estimator, axis):
    variable = "lca" if estimator == "batch" else "lca_probe"
    one = summary.sel(estimator=estimator)
    records = whole[variable].astype("f8")
    for name, ends, expected in (
        ("binned_total", summary["bin"].values, records.sum("head", min_count=1)),
        ("block_total", summary["block"].values, records),
    ):
        place = np.searchsorted(ends, whole[axis].values)
        for number in (0, 3, len(ends) - 1):
            wanted = expected.values[place == number].sum(axis=0)
            exists = np.isfinite(one[name].values[number])
            np.testing.assert_allclose(
                one[name].values[number][exists], wanted[exists], rtol=1e-9, atol=1e-15
            )
            if name == "binned_total":
                assert int(one["binned_records"][number]) == (place == number).sum()
    assert len(summary["block"]) == 50 and int(summary["block"][-1]) == STEPS
