"""Cubes follow the CF conventions that they name, and other people's tools open them."""

import netCDF4
import numpy as np
import pytest
import xarray as xr

from losschange.cube.format import open_cube
from losschange.cube.writer import CubeWriter
from synthetic_cubes import make_layout, write_cube

# CF-1.10, section 2.2; characters are S1.
TYPES = {"S1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8"}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A cube with strided estimators, their losses and validation losses."""
    path = tmp_path_factory.mktemp("cube") / "cube.nc"
    write_cube(path, "mt-en-de", 40, 2, 2, estimators={"fresh": 3, "probe": 4, "simpson_rare": 5})
    return path


def test_attributes_types_and_units_are_those_of_cf(path):
    """What the compliance checker of IOOS found wrong once: nats as a unit, and no history."""
    with netCDF4.Dataset(path) as cube:
        assert cube.Conventions.split()[0] == "CF-1.10"
        assert cube.title and cube.history
        for name, variable in cube.variables.items():
            assert variable.dtype.str[1:] in TYPES, name
            if variable.dtype.kind == "S":
                continue
            assert variable.units == "1", "UDUNITS knows no nat"
            assert variable.long_name
            for coordinate in getattr(variable, "coordinates", "").split():
                assert coordinate in cube.variables
            if variable.dimensions == (name,):
                assert (np.diff(variable[:]) > 0).all(), "a coordinate is monotonic"


def test_losses_and_lca_say_that_they_are_in_nats(path):
    with open_cube(path) as cube:
        named = [n for n in cube.data_vars if "lca" in n or "loss" in n.removesuffix("loss_scale")]
        named += [n for n in cube.data_vars if n.endswith("_error")]
        assert len(named) == 12
        for name in named:
            assert "nats per target token" in cube[name].attrs["long_name"], name


def test_the_history_of_equal_cubes_is_equal(tmp_path):
    for name in ("a.nc", "b.nc"):
        write_cube(tmp_path / name, steps=8, layers=2, heads=2)
    assert (tmp_path / "a.nc").read_bytes() == (tmp_path / "b.nc").read_bytes()


def test_no_variable_that_is_divided_into_chunks_holds_python_objects(path):
    """dask cannot divide these by itself: xr.open_mfdataset(..., chunks="auto") failed."""
    with xr.open_dataset(path) as cube:
        for name, variable in cube.variables.items():
            assert variable.dtype.kind != "O" or name in cube.dims, name
        assert cube["label"].values.tolist() == [b"embedding", b"enc.1", b"dec.2", b"output"]
    with open_cube(path) as cube:
        assert cube["label"].values.tolist() == ["embedding", "enc.1", "dec.2", "output"]
        assert "label" in cube.coords


def test_open_mfdataset_opens_cubes(path):
    pytest.importorskip("dask")
    with xr.open_mfdataset([path], chunks="auto") as many, open_cube(path) as one:
        np.testing.assert_array_equal(many["lca"].values, one["lca"].values)


def test_parts_are_joined_along_the_updates(tmp_path):
    """How a growing cube is watched: an estimator with its own axis is read by itself."""
    layout = make_layout("clm", 2, 2)
    values = np.random.default_rng(0).normal(size=(9, len(layout.cells))).astype(np.float32)
    parts = []
    for first, last in ((0, 4), (4, 9)):
        path = tmp_path / f"{first}.nc"
        steps = np.arange(first + 1, last + 1)
        probe = {"probe": steps[steps % 3 == 0]}
        with CubeWriter(path, layout, steps, {}, probe) as writer:
            writer.write(0, values={"batch": values[first:last]})
        parts.append(xr.open_dataset(path)[["lca"]])
    joined = xr.combine_by_coords(parts, data_vars="minimal", combine_attrs="drop_conflicts")
    assert joined["step"].values.tolist() == list(range(1, 10))
    np.testing.assert_array_equal(layout.from_grid(joined["lca"].values), values)


def test_a_title_of_ones_own_stays_and_the_format_does_not(tmp_path):
    layout = make_layout("clm", 2, 2)
    attributes = {"title": "Mine", "cube_format": np.int64(1), "Conventions": "CF-1.0"}
    with CubeWriter(tmp_path / "c.nc", layout, np.arange(1, 3), attributes):
        pass
    with open_cube(tmp_path / "c.nc") as cube:
        assert cube.attrs["title"] == "Mine"
        assert (cube.attrs["cube_format"], cube.attrs["Conventions"][:7]) == (2, "CF-1.10")
