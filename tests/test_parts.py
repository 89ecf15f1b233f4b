"""Parts of a growing cube: what a crash leaves is dropped, what is missing is noticed."""

import numpy as np
import pytest

from losschange.cube.assembly import assemble_cube
from losschange.cube.format import SERIES, STEPS_PER_CHUNK, open_cube
from losschange.cube.layout import Cell, CubeError, CubeLayout
from losschange.cube.parts import PartStore, Records

LAYOUT = CubeLayout(
    ("embedding", "decoder", "output"),
    2,
    (Cell(0, "embedding"), Cell(1, "key", 0), Cell(1, "key", 1), Cell(2, "norm")),
    (8, 2, 2, 1),
)
UPDATES = 2 * STEPS_PER_CHUNK + 300


def lca(updates, seed=1):
    return np.random.default_rng(seed).normal(size=(updates, 4)).astype(np.float32)


def batch_records(values, first):
    """Records of "batch" from the update `first` on."""
    return {"batch": Records(np.arange(first, first + len(values)), values, {})}


def fill(folder, ends, updates=UPDATES, layout=LAYOUT):
    """Parts that end after the given updates, of the same made-up training."""
    store, values, first = PartStore(folder), lca(updates), 1
    numbers = np.arange(updates, dtype=np.float32)
    for last in ends:
        rows = slice(first - 1, last)
        series = {name: numbers[rows] + i for i, name in enumerate(SERIES)}
        valid = [
            (step, 9.0 / (step + 1))
            for step in (0, 700, 2000)
            if first - (first == 1) <= step <= last
        ]
        records = batch_records(values[rows], first)
        store.write(first, layout, series, records, valid, {"model": "clm-en"})
        first = last + 1
    return store


def test_an_assembled_cube_holds_every_update(tmp_path):
    store = fill(tmp_path / "parts", [400, 1700, UPDATES])
    assert store.last_update() == UPDATES
    assemble_cube(store, tmp_path / "cube.nc", UPDATES, {"model": "clm-en"})
    with open_cube(tmp_path / "cube.nc") as cube:
        np.testing.assert_array_equal(LAYOUT.from_grid(cube["lca"].values), lca(UPDATES))
        assert cube["step"].values.tolist() == list(range(1, UPDATES + 1))
        for i, name in enumerate(SERIES):
            np.testing.assert_array_equal(cube[name].values, np.arange(UPDATES) + i)
        assert cube["valid_step"].values.tolist() == [0, 700, 2000]
        assert cube.attrs["model"] == "clm-en"


@pytest.mark.parametrize(
    "ends",
    [
        [STEPS_PER_CHUNK, 2 * STEPS_PER_CHUNK, UPDATES],
        [1, 2, STEPS_PER_CHUNK - 1, STEPS_PER_CHUNK + 1, UPDATES],
        [*range(50, UPDATES, 50), UPDATES],
    ],
)
def test_the_bytes_do_not_depend_on_how_the_parts_were_split(tmp_path, ends):
    whole, split = fill(tmp_path / "whole", [UPDATES]), fill(tmp_path / "split", ends)
    for store in (whole, split):
        assemble_cube(store, tmp_path / f"{store.folder.name}.nc", UPDATES, {"model": "clm-en"})
    assert (tmp_path / "whole.nc").read_bytes() == (tmp_path / "split.nc").read_bytes()


def test_dropping_goes_back_to_a_checkpoint(tmp_path):
    store = fill(tmp_path, [10, 20, 25], updates=25)
    kept = [path.read_bytes() for _, _, path in store.parts()[:2]]
    (tmp_path / ".part-000000026-000000030.nc.1.tmp").write_bytes(b"unfinished")
    (tmp_path / "notes.txt").write_text("not ours")
    store.drop_after(20)
    assert [(first, last) for first, last, _ in store.parts()] == [(1, 10), (11, 20)]
    assert [path.read_bytes() for _, _, path in store.parts()] == kept
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".nc", ".nc", ".txt"]
    store.drop_after(0)
    assert store.parts() == [] and store.last_update() == 0


def test_a_folder_that_is_not_there_holds_nothing(tmp_path):
    store = PartStore(tmp_path / "missing")
    assert store.parts() == [] and store.last_update() == 0
    store.drop_after(0)
    with pytest.raises(CubeError, match="holds no part"):
        assemble_cube(store, tmp_path / "cube.nc", 0, {})
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_inside_a_part_is_refused(tmp_path):
    store = fill(tmp_path, [10, 20], updates=20)
    with pytest.raises(CubeError, match="holds the updates up to 10, but 15 were made"):
        store.drop_after(15)


def test_gaps_doubled_and_missing_parts_are_refused(tmp_path):
    store = fill(tmp_path / "parts", [10, 20, 30], updates=30)
    (tmp_path / "parts" / "part-000000011-000000020.nc").rename(tmp_path / "second.nc")
    cube = tmp_path / "cube.nc"
    with pytest.raises(CubeError, match="go on with update 11, but part-000000021-000000030"):
        assemble_cube(store, cube, 30, {})
    (tmp_path / "second.nc").rename(tmp_path / "parts" / "part-000000011-000000020.nc")
    with pytest.raises(CubeError, match="up to 30, but 31 were made"):
        assemble_cube(store, cube, 31, {})
    fill(tmp_path / "parts", [15], updates=15)
    with pytest.raises(CubeError, match="go on with update 11, but part-000000001-000000015"):
        assemble_cube(store, cube, 30, {})
    assert not cube.exists()


def test_parts_of_different_models_are_refused(tmp_path):
    store = fill(tmp_path / "parts", [10], updates=10)
    other = CubeLayout(LAYOUT.stacks, 2, LAYOUT.cells, (8, 2, 2, 9))
    store.write(11, other, {}, batch_records(lca(10), 11), [], {})
    message = r"part-000000011-000000020\.nc does not go with .*'norm'.* has 9 .* instead of 1"
    with pytest.raises(CubeError, match=message):
        assemble_cube(store, tmp_path / "cube.nc", 20, {})
    assert [path.name for path in tmp_path.iterdir()] == ["parts"]


def test_a_part_that_cannot_be_read_leaves_no_cube(tmp_path):
    store = fill(tmp_path / "parts", [10, 20], updates=20)
    store.parts()[1][2].write_bytes(b"torn")
    with pytest.raises(CubeError, match=r"part-000000011-000000020\.nc is not a readable"):
        assemble_cube(store, tmp_path / "cube.nc", 20, {})
    assert [path.name for path in tmp_path.iterdir()] == ["parts"]


# Not in the order in which a cube gives the cells back.
SHUFFLED = CubeLayout(
    LAYOUT.stacks,
    2,
    (Cell(2, "norm"), Cell(1, "key", 1), Cell(0, "embedding"), Cell(1, "key", 0)),
    (1, 2, 8, 2),
)


def probe_records(steps):
    """Records of "probe" with details along the cells and without."""
    steps = np.array(steps)
    values = np.stack([lca(1, seed=step)[0] for step in steps])
    return Records(steps, values, {"loss": steps / 7, "error": steps / 9, "positive": values + 1})


def test_what_is_appended_stands_in_the_bytes_as_if_it_had_been_there(tmp_path):
    series = {name: np.arange(10.0) + i for i, name in enumerate(SERIES)}
    batch = batch_records(lca(10), 1)
    for name, early, late in (("whole", [4, 8, 10], []), ("late", [4, 8], [10])):
        store = PartStore(tmp_path / name)
        losses = [(0, 1 / 3), (10, 2 / 3)]
        records = {**batch, "probe": probe_records(early)}
        about = {"model": "clm-en", "seed": 4}
        store.write(1, SHUFFLED, series, records, losses[: 1 if late else 2], about)
        if late:
            store.append(SHUFFLED, {"probe": probe_records(late)}, losses[1:])
        assert [(first, last) for first, last, _ in store.parts()] == [(1, 10)]
        assert store.last_record("probe") == 10 and store.last_record("fresh") == 0
    (whole,), (late,) = ((tmp_path / name).iterdir() for name in ("whole", "late"))
    assert whole.read_bytes() == late.read_bytes()


def test_a_part_may_hold_no_record_of_an_estimator(tmp_path):
    store = PartStore(tmp_path / "parts")
    for first, steps in ((1, [2]), (3, []), (5, [6])):
        probe = probe_records(steps or [1])
        if not steps:
            empty = {name: column[:0] for name, column in probe.details.items()}
            probe = Records(probe.steps[:0], probe.values[:0], empty)
        records = {**batch_records(lca(2), first), "probe": probe}
        store.write(first, SHUFFLED, {}, records, [], {})
        assert store.last_record("probe") == (first + 1 if steps else 2)
    assemble_cube(store, tmp_path / "cube.nc", 6, {})
    with open_cube(tmp_path / "cube.nc") as cube:
        assert cube["step_probe"].values.tolist() == [2, 6]
        expected = probe_records([2, 6])
        np.testing.assert_array_equal(SHUFFLED.from_grid(cube["lca_probe"].values), expected.values)
        np.testing.assert_array_equal(cube["probe_loss"].values, expected.details["loss"])
        np.testing.assert_array_equal(
            SHUFFLED.from_grid(cube["lca_positive_probe"].values), expected.details["positive"]
        )


@pytest.mark.parametrize(
    ("layout", "updates", "message"),
    [
        (LAYOUT, 0, "holds the parts of another training; give an empty folder"),
        (LAYOUT, 30, "holds the updates up to 20, but 30 were made"),
        (
            CubeLayout(LAYOUT.stacks, 2, LAYOUT.cells, (9, 2, 2, 1)),
            10,
            r"of another model .*'embedding'.* has 8 parameters instead of 9.* empty folder",
        ),
        (
            CubeLayout(LAYOUT.stacks, 2, (*LAYOUT.cells[:3], Cell(2, "bias")), (8, 2, 2, 1)),
            10,
            r"another schema: .*'bias'.* has 0 parameters instead of 1",
        ),
        (
            CubeLayout(("embedding", "encoder", "output"), 2, LAYOUT.cells, (8, 2, 2, 1)),
            10,
            "stacks embedding, decoder, output instead of embedding, encoder, output",
        ),
        (
            CubeLayout(("embedding", *["decoder"] * 3), 4, LAYOUT.cells, (8, 2, 2, 1)),
            10,
            "3 layers instead of 4, 3 heads with none instead of 5",
        ),
    ],
)
def test_a_folder_of_something_else_is_refused_and_left_as_it_is(
    tmp_path, layout, updates, message
):
    store = fill(tmp_path, [10, 20], updates=20)
    before = [path.read_bytes() for _, _, path in store.parts()]
    with pytest.raises(CubeError, match=message):
        store.begin(layout, updates)
    assert [path.read_bytes() for _, _, path in store.parts()] == before


def test_a_folder_of_this_training_goes_back_to_the_checkpoint(tmp_path):
    store = fill(tmp_path, [10, 20], updates=20)
    store.begin(SHUFFLED, 10)
    assert [(first, last) for first, last, _ in store.parts()] == [(1, 10)]
