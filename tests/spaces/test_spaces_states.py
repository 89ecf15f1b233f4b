"""The file of a model's states: what is written is read, and half a file never appears."""

import numpy as np
import pytest
import xarray as xr
from spaces_cases import normal

from representations.errors import RepresentationError
from representations.states import StatesReader, StatesWriter

LAYERS = ("0", "1", "norm")


def write(path, states, block=30):
    with StatesWriter(path, LAYERS, states.shape[1], states.shape[2], {"model": "clm-en"}) as file:
        for start in range(0, states.shape[1], block):
            for layer, values in zip(LAYERS, states, strict=True):
                file.write(layer, start, values[start : start + block])


def test_states_are_read_as_they_were_written_to_half_precision(tmp_path):
    states = normal(3, 100, 8)
    write(tmp_path / "states" / "clm-en.nc", states)
    with StatesReader(tmp_path / "states" / "clm-en.nc") as file:
        assert file.layers == LAYERS
        assert (file.words, file.width) == (100, 8)
        assert file.attributes["model"] == "clm-en"
        for layer, values in zip(LAYERS, states, strict=True):
            np.testing.assert_array_equal(file.layer(layer), values.astype(np.float16))
        rows = [70, 3, 3, 99]
        np.testing.assert_array_equal(file.layer("1", rows), states[1].astype(np.float16)[rows])
        np.testing.assert_array_equal(
            np.concatenate(list(file.blocks("norm", 33))), states[2].astype(np.float16)
        )


def test_the_file_has_the_dimensions_that_others_expect_and_two_bytes_a_number(tmp_path):
    write(tmp_path / "clm-en.nc", normal(3, 2_000, 64))
    with xr.open_dataset(tmp_path / "clm-en.nc") as found:
        assert found["states"].dims == ("layer", "word", "d")
        assert found["states"].shape == (3, 2_000, 64)
    size = (tmp_path / "clm-en.nc").stat().st_size
    assert size < 1.2 * 3 * 2_000 * 64 * 2


def test_the_same_states_make_the_same_file(tmp_path):
    for name in ("a.nc", "b.nc"):
        write(tmp_path / name, normal(3, 50, 4))
    assert (tmp_path / "a.nc").read_bytes() == (tmp_path / "b.nc").read_bytes()


def test_extremes_of_half_precision_survive(tmp_path):
    states = np.zeros((3, 1, 4))
    states[:, 0] = [65504, -65504, 6e-8, 0]
    write(tmp_path / "states.nc", states)
    with StatesReader(tmp_path / "states.nc") as file:
        np.testing.assert_array_equal(file.layer("0")[0], np.float16([65504, -65504, 6e-8, 0]))


@pytest.mark.parametrize("number", [np.nan, np.inf, 7e4])
def test_numbers_that_half_precision_cannot_hold_are_refused_and_nothing_is_left(tmp_path, number):
    states = normal(3, 40, 4)
    states[1, 33, 2] = number
    with pytest.raises(RepresentationError, match="layer 1, word 33 holds a number that is not"):
        write(tmp_path / "states.nc", states)
    assert list(tmp_path.iterdir()) == []


def test_states_that_were_forgotten_are_told_and_nothing_is_left(tmp_path):
    states = normal(3, 40, 4)
    with (
        pytest.raises(RepresentationError, match="40 states were never written.* layer 1, word 0"),
        StatesWriter(tmp_path / "states.nc", LAYERS, 40, 4) as file,
    ):
        file.write("0", 0, states[0])
        file.write("norm", 0, states[2])
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_file_stays_when_writing_fails(tmp_path):
    path = tmp_path / "states.nc"
    write(path, normal(3, 40, 4))
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt), StatesWriter(path, LAYERS, 40, 4) as file:
        file.write("0", 0, normal(10, 4))
        raise KeyboardInterrupt
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("layer", "start", "shape", "message"),
    [
        ("9", 0, (5, 4), "there is no layer '9'; 0, 1, norm are"),
        ("0", 38, (5, 4), "the words 38 to 42, but there are 40"),
        ("0", 0, (5, 3), r"has the shape \(5, 3\); expected \(words, 4\)"),
    ],
)
def test_blocks_that_do_not_fit_are_refused(tmp_path, layer, start, shape, message):
    with (
        pytest.raises(RepresentationError, match=message),
        StatesWriter(tmp_path / "states.nc", LAYERS, 40, 4) as file,
    ):
        file.write(layer, start, np.zeros(shape))
    assert list(tmp_path.iterdir()) == []


def test_other_files_are_refused(tmp_path):
    with pytest.raises(RepresentationError, match="absent.nc cannot be opened"):
        StatesReader(tmp_path / "absent.nc")
    xr.Dataset({"loss": ("step", [1.0])}).to_netcdf(tmp_path / "other.nc")
    with pytest.raises(RepresentationError, match="other.nc does not hold states"):
        StatesReader(tmp_path / "other.nc")
