"""The cube: what is written comes back, and nothing half-written is ever seen."""

import netCDF4
import numpy as np
import pytest
import xarray as xr

from losschange.cube.format import (
    SERIES,
    STEPS_PER_CHUNK,
    details_of,
    estimators_of,
    iterate_blocks,
    layout_of,
    open_cube,
)
from losschange.cube.layout import COMPONENTS, Cell, CubeError, CubeLayout
from losschange.cube.word_bins import bin_words
from losschange.cube.writer import CubeWriter

CELLS = (
    Cell(0, "embedding"),
    Cell(1, "bias"),
    Cell(1, "bias", 0),
    Cell(1, "bias", 1),
    Cell(1, "key", 0),
    Cell(1, "key", 1),
    Cell(2, "W1"),
    Cell(3, "norm"),
)
LAYOUT = CubeLayout(
    ("embedding", "encoder", "decoder", "output"), 2, CELLS, (40, 6, 2, 2, 8, 8, 16, 4)
)
# The order in which `layout_of` gives the cells back: layer, component, head.
SORTED = sorted(range(len(CELLS)), key=lambda i: tuple(int(axis[i]) for axis in LAYOUT.index))


def values(steps, seed=0):
    return np.random.default_rng(seed).normal(size=(steps, len(CELLS))).astype(np.float32)


def write(path, steps=7, block=3, attributes=None, **options):
    """A cube of `steps` updates written in runs of `block`; the values written."""
    lca = values(steps)
    series = {name: values(steps, seed)[:, 0] for seed, name in enumerate(SERIES, 1)}
    numbers = np.arange(1, steps + 1)
    with CubeWriter(path, LAYOUT, numbers, attributes or {"model": "clm-en"}, **options) as writer:
        for start in range(0, steps, block):
            part = slice(start, start + block)
            columns = {name: column[part] for name, column in series.items()}
            writer.write(start, columns, {"batch": lca[part]})
    return lca, series


def test_everything_written_comes_back(tmp_path):
    path = tmp_path / "new" / "cube.nc"
    lca, series = write(path, valid_losses=[(0, 9.25), (7, 1 / 3)])
    with open_cube(path) as cube:
        assert cube["lca"].dims == ("step", "layer", "component", "head")
        assert cube["lca"].dtype == np.float32
        assert cube["step"].values.tolist() == list(range(1, 8))
        assert cube["component"].values.tolist() == list(COMPONENTS)
        assert cube["head"].values.tolist() == ["none", "0", "1"]
        assert cube["layer"].values.tolist() == [0, 1, 2, 3]
        assert cube["stack"].values.tolist() == ["embedding", "encoder", "decoder", "output"]
        assert cube["label"].values.tolist() == ["embedding", "enc.1", "dec.2", "output"]
        np.testing.assert_array_equal(LAYOUT.from_grid(cube["lca"].values), lca)
        for name, column in series.items():
            np.testing.assert_array_equal(cube[name].values, column)
            assert cube[name].attrs["long_name"] == SERIES[name]
        assert cube["valid_step"].values.tolist() == [0, 7]
        assert cube["valid_loss"].values.tolist() == [9.25, 1 / 3]
        assert cube["n_parameters"].dtype == np.int64
        assert LAYOUT.from_grid(cube["n_parameters"].values).tolist() == list(LAYOUT.n_parameters)
        assert int(cube["n_parameters"].sum()) == sum(LAYOUT.n_parameters)
        assert cube.attrs["model"] == "clm-en" and "nats" in cube["lca"].attrs["long_name"]
        assert estimators_of(cube) == ["batch"]
        found = layout_of(cube)
    assert found.cells == tuple(CELLS[i] for i in SORTED)
    assert found.n_parameters == tuple(LAYOUT.n_parameters[i] for i in SORTED)
    assert (found.stacks, found.heads) == (LAYOUT.stacks, LAYOUT.heads)


def test_plain_xarray_opens_it(tmp_path):
    lca, _ = write(tmp_path / "cube.nc")
    with xr.open_dataset(tmp_path / "cube.nc") as cube:
        key = cube["lca"].sel(component="key", head="1", layer=1).values
    np.testing.assert_array_equal(key, lca[:, CELLS.index(Cell(1, "key", 1))])


def test_cells_that_do_not_exist_are_missing_and_heads_sum_to_the_component(tmp_path):
    lca, _ = write(tmp_path / "cube.nc")
    with open_cube(tmp_path / "cube.nc") as cube:
        grid = cube["lca"]
        assert int(grid.notnull().sum()) == lca.size
        assert grid.sel(layer=1, component="key", head="none").isnull().all()
        assert grid.sel(layer=2, component="W1", head="0").isnull().all()
        bias = grid.sel(layer=1, component="bias").sum("head").values
        np.testing.assert_allclose(bias, lca[:, 1:4].sum(axis=1), rtol=1e-5)
        total = grid.sum(("layer", "component", "head")).values
        np.testing.assert_allclose(total, lca.sum(axis=1), rtol=1e-5)


def test_opening_reads_no_values_and_blocks_are_read_one_by_one(tmp_path):
    lca, _ = write(tmp_path / "cube.nc", steps=20, block=20)
    with open_cube(tmp_path / "cube.nc") as cube:
        assert not cube["lca"].variable._in_memory
        blocks = list(iterate_blocks(cube, "batch", steps=8))
        assert not cube["lca"].variable._in_memory
    assert [(start, len(block)) for start, block in blocks] == [(0, 8), (8, 8), (16, 4)]
    joined = np.concatenate([LAYOUT.from_grid(block) for _, block in blocks])
    np.testing.assert_array_equal(joined, lca)


@pytest.mark.parametrize("steps", [7, STEPS_PER_CHUNK + 5])
def test_identical_values_give_identical_bytes(tmp_path, steps):
    for name in ("a.nc", "b.nc"):
        write(tmp_path / name, steps, block=STEPS_PER_CHUNK, valid_losses=[(0, 3.5)])
    assert (tmp_path / "a.nc").read_bytes() == (tmp_path / "b.nc").read_bytes()


def test_a_writer_that_fails_leaves_nothing_new(tmp_path):
    path = tmp_path / "cube.nc"
    with pytest.raises(KeyError), CubeWriter(path, LAYOUT, np.arange(1, 3), {}) as writer:
        writer.write(0, values={"batch": values(1)})
        raise KeyError("bad luck")
    assert list(tmp_path.iterdir()) == []
    write(path)
    before = path.read_bytes()
    with pytest.raises(KeyError), CubeWriter(path, LAYOUT, np.arange(1, 3), {}):
        raise KeyError("bad luck")
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_an_attribute_that_netcdf_refuses_leaves_nothing(tmp_path):
    with (
        pytest.raises(TypeError),
        CubeWriter(tmp_path / "cube.nc", LAYOUT, np.arange(1, 3), {"model": object()}),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("steps", [[1, 3, 2], [1, 1, 2]])
def test_steps_must_ascend(tmp_path, steps):
    with pytest.raises(CubeError, match=r"cube\.nc: the steps of a cube must ascend"):
        CubeWriter(tmp_path / "cube.nc", LAYOUT, np.array(steps), {})
    assert list(tmp_path.iterdir()) == []


def test_a_strided_estimator_has_an_axis_of_its_own(tmp_path):
    path, numbers = tmp_path / "cube.nc", np.arange(1, 11)
    recorded = {"probe": np.array([5, 10]), "fresh": numbers}
    with CubeWriter(path, LAYOUT, numbers, {}, recorded) as writer:
        writer.write(0, values={"batch": values(10), "fresh": values(10, 1)})
        writer.write(0, values={"probe": values(2, 2)})
    with open_cube(path) as cube:
        assert cube["lca_probe"].dims[0] == "step_probe"
        assert cube["step_probe"].values.tolist() == [5, 10]
        assert cube["lca_fresh"].dims[0] == cube["lca"].dims[0] == "step"
        assert estimators_of(cube) == ["batch", "fresh", "probe"]
        np.testing.assert_array_equal(LAYOUT.from_grid(cube["lca_probe"].values), values(2, 2))
        assert [start for start, _ in iterate_blocks(cube, "probe", 1)] == [0, 1]


def test_other_files_are_refused(tmp_path):
    other, text, missing = tmp_path / "other.nc", tmp_path / "text.nc", tmp_path / "missing.nc"
    xr.Dataset({"temperature": ("time", np.zeros(3))}).to_netcdf(other)
    text.write_text("no NetCDF at all")
    with pytest.raises(CubeError, match=r"other\.nc is not an LCA cube .* found format None"):
        open_cube(other)
    with pytest.raises(CubeError, match=r"text\.nc is not a readable NetCDF-4 file"):
        open_cube(text)
    with pytest.raises(FileNotFoundError, match=r"missing\.nc"):
        open_cube(missing)


def test_a_cube_of_another_format_is_refused(tmp_path):
    write(tmp_path / "cube.nc")
    with netCDF4.Dataset(tmp_path / "cube.nc", "a") as file:
        file.cube_format = np.int64(99)
    with pytest.raises(CubeError, match="format 1 or 2: found format 99"):
        open_cube(tmp_path / "cube.nc")


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([Cell(4, "norm")], "outside"),
        ([Cell(0, "colour")], "outside"),
        ([Cell(0, "key", 2)], "outside"),
        ([Cell(0, "norm"), Cell(0, "norm")], "twice"),
    ],
)
def test_cells_outside_the_axes_are_refused(cells, message):
    with pytest.raises(CubeError, match=message):
        CubeLayout(LAYOUT.stacks, 2, tuple(cells), (1,) * len(cells))
    with pytest.raises(CubeError, match="1 cells but 2 counts"):
        CubeLayout(LAYOUT.stacks, 2, (Cell(0, "norm"),), (1, 1))


def test_details_stand_beside_the_records_of_their_estimator(tmp_path):
    path, numbers = tmp_path / "cube.nc", np.arange(1, 11)
    details = {"probe": ("loss", "positive", "vocabulary"), "batch": ("helped",)}
    bins = bin_words(np.arange(1, 6), ["embedding", "output"], bins=3)
    vocabulary = np.arange(12.0).reshape(2, 2, 3)
    with CubeWriter(
        path, LAYOUT, numbers, {}, {"probe": np.array([5, 10])}, (), details, bins
    ) as writer:
        writer.write(0, values={"batch": values(10), "probe": values(2, 2)})
        writer.write_details(0, "batch", {"helped": values(10, 3)})
        writer.write_details(
            0,
            "probe",
            {"loss": np.array([1 / 3, 2 / 3]), "positive": values(2, 4), "vocabulary": vocabulary},
        )
    with open_cube(path) as cube:
        assert details_of(cube, "probe") == ["loss", "positive", "vocabulary"]
        assert details_of(cube, "batch") == ["helped"]
        assert cube["probe_loss"].dims == ("step_probe",)
        assert cube["probe_loss"].values.tolist() == [1 / 3, 2 / 3]
        np.testing.assert_array_equal(
            LAYOUT.from_grid(cube["lca_positive_probe"].values), values(2, 4)
        )
        np.testing.assert_array_equal(LAYOUT.from_grid(cube["helped"].values), values(10, 3))
        words = cube["lca_vocabulary_probe"]
        assert words.dims == ("step_probe", "matrix", "frequency_bin")
        assert words["matrix"].values.tolist() == ["embedding", "output"]
        np.testing.assert_array_equal(words.values, vocabulary)
        assert "nats" in words.attrs["long_name"]
