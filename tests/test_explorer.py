"""The explorer's files: the numbers of a model against its cube, and what cannot be shown."""

import base64
import json
import re
import zlib

import numpy as np
import pytest

from losschange import open_cube
from losschange.command import main
from losschange.errors import ExplorerError
from losschange.explorer.data import MOST_BINS, model_numbers, write_model
from losschange.explorer.page import explore, write_page
from synthetic_cubes import write_cube

STEPS = 3 * MOST_BINS + 10


@pytest.fixture(scope="module")
def cube(tmp_path_factory):
    path = tmp_path_factory.mktemp("cubes") / "mt-en-de.nc"
    write_cube(
        path, "mt-en-de", steps=STEPS, layers=2, heads=2,
        estimators={"fresh": 10, "probe": 7, "simpson_valid": 50},
    )  # fmt: skip
    return path


@pytest.fixture(scope="module")
def numbers(cube):
    return model_numbers(cube)


def unpacked(numbers):
    """LCA (estimator, cell, bin) as the page unpacks it."""
    shuffled = np.frombuffer(zlib.decompress(base64.b64decode(numbers["values"])), dtype=np.uint8)
    flat = np.ascontiguousarray(shuffled.reshape(4, -1).T).view("<f4").reshape(-1)
    return flat.reshape(len(numbers["estimators"]), len(numbers["cells"]), -1)


def test_bins_divide_all_updates(numbers):
    first, last = np.array(numbers["first"]), np.array(numbers["last"])
    assert len(first) == MOST_BINS and first[0] == 1 and last[-1] == STEPS
    assert (first[1:] == last[:-1] + 1).all()


def test_every_bin_of_every_cell_is_the_cube_s_sum(cube, numbers):
    values = unpacked(numbers)
    with open_cube(cube) as opened:
        for position, estimator in enumerate(numbers["estimators"]):
            name = estimator["name"]
            lca = opened["lca" if name == "batch" else f"lca_{name}"]
            steps = opened[lca.dims[0]].values
            bins = np.searchsorted(numbers["last"], steps)
            for cell, (layer, component, head) in enumerate(numbers["cells"]):
                recorded = lca.isel(layer=layer, component=component, head=head + 1).values
                sums = np.bincount(bins, recorded, minlength=MOST_BINS)
                np.testing.assert_allclose(values[position, cell], sums, rtol=1e-5, atol=1e-9)
            assert estimator["records"] == np.bincount(bins, minlength=MOST_BINS).tolist()


def test_a_probe_s_measured_change_is_of_its_own_intervals(cube, numbers):
    probe = next(one for one in numbers["estimators"] if one["name"] == "probe")
    with open_cube(cube) as opened:
        measured = (opened["probe_loss"] - opened["probe_loss_before"]).values
        bins = np.searchsorted(numbers["last"], opened["step_probe"].values)
    expected = np.bincount(bins, measured, minlength=MOST_BINS)
    np.testing.assert_allclose(probe["change"], expected, atol=1e-9)
    assert probe["reference"] == "training_probe" and probe["intervals"]


def test_the_script_is_one_call_and_the_same_every_time(cube, tmp_path):
    write_model(cube, "mt-en-de", tmp_path / "one.js")
    write_model(cube, "mt-en-de", tmp_path / "two.js")
    text = (tmp_path / "one.js").read_text()
    assert text == (tmp_path / "two.js").read_text()
    name, given = re.fullmatch(r'losschangeModel\("([\w-]+)",(.*)\);\n', text).groups()
    assert name == "mt-en-de" and json.loads(given)["facts"]["target_language"] == "de"


def test_the_command_writes_a_page_that_asks_no_other_host(cube, tmp_path, capsys):
    folder = tmp_path / "page"
    assert main(["explore", str(cube), "--output", str(folder), "--title", "A <b> & c"]) == 0
    assert str(folder / "index.html") in capsys.readouterr().out
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert "<title>A &lt;b&gt; &amp; c</title>" in page
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page)
    assert "/* scripts */" not in page and "/* models */" not in page and "/* style */" not in page
    size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    assert size < 5_000_000


def test_cubes_of_one_name_are_refused_before_anything_is_written(cube, tmp_path):
    with pytest.raises(ExplorerError, match="several cubes are called mt-en-de"):
        explore([cube, cube], tmp_path / "page", "two")
    assert not (tmp_path / "page").exists()


def test_what_is_no_cube_is_told_in_a_sentence(tmp_path, capsys):
    (tmp_path / "x.nc").write_text("no cube")
    assert main(["explore", str(tmp_path / "x.nc"), "--output", str(tmp_path / "page")]) == 1
    assert capsys.readouterr().err.startswith("error: ")
    assert not (tmp_path / "page").exists()


def test_a_model_s_name_cannot_end_the_page_s_script(tmp_path):
    write_page(["</script>"], tmp_path, "title")
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "</script>" not in page.partition("const MODELS = ")[2].partition(";\n")[0]
